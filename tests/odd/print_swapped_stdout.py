# what: sys.stdout swapped for a StringIO and put back
import io
import sys

real, sys.stdout = sys.stdout, io.StringIO()
print(sum(map(int, input().split())))
text, sys.stdout = sys.stdout.getvalue(), real
print(text.strip())
