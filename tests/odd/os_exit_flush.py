# what: os._exit(0) after a flush
import os
import sys

a, b = map(int, input().split())
sys.stdout.write(f"{a + b}\n")
sys.stdout.flush()
os._exit(0)
