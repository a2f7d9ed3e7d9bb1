# what: sys.stdout.write without print
import sys

write = sys.stdout.write
a, b = map(int, input().split())
write(str(a + b))
write("\n")
