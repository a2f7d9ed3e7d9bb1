# what: closes stdout itself after the answer
import os
import sys

print(sum(map(int, input().split())))
sys.stdout.flush()
os.close(1)
