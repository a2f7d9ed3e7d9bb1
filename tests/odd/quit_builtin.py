# what: quit() at the end
a, b = map(int, input().split())
print(a + b)
quit()
