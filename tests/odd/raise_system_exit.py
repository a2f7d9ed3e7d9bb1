# what: raise SystemExit, bare and caught by nobody
a, b = map(int, input().split())
print(a + b)
raise SystemExit
