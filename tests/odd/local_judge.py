# what: reads input.txt where there is one, as at home, else stdin
import os
import sys

if os.path.exists("input.txt"):
    sys.stdin = open("input.txt")
if os.environ.get("LOCAL_JUDGE"):
    sys.stdout = open("output.txt", "w")
print(sum(map(int, input().split())))
