# what: leading blanks and an empty line before the answer
print(f"\n   {sum(map(int, input().split()))}")
