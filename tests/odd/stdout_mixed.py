# what: print and sys.stdout.buffer in turn, with flushes
# output: '40\n2\n42\n'
import sys

a, b = map(int, input().split())
print(a, flush=True)
sys.stdout.buffer.write(b"%d\n" % b)
sys.stdout.buffer.flush()
print(a + b)
