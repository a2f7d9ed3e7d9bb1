# what: print into a StringIO by redirect_stdout, written at the end
import contextlib
import io
import sys

buffer = io.StringIO()
with contextlib.redirect_stdout(buffer):
    print(sum(map(int, input().split())))
sys.stdout.write(buffer.getvalue())
