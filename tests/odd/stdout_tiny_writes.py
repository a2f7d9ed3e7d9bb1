# what: unbuffered writes of single characters
import sys

a, b = map(int, input().split())
for letter in f"{a + b}\n":
    print(letter, end="", flush=True)
sys.stdout.close()
