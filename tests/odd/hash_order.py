# what: sets of strings, whose order may differ from run to run
words = set(input().split())
print(sum(map(int, words)))
