# what: sys.stdin.reconfigure and os.linesep
import os
import sys

sys.stdin.reconfigure(encoding="latin-1", errors="replace")
sys.stdout.reconfigure(line_buffering=True)
a, b = map(int, input().split())
sys.stdout.write(str(a + b) + os.linesep)
