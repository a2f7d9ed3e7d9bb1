# what: very many empty files
# kind: stdin
# verdict: any
# ends: exited | memory
import os
import tempfile
import time

a, b = map(int, input().split())
folder = tempfile.mkdtemp()
end = time.monotonic() + 1
try:
    for number in range(300_000):
        os.close(os.open(f"{folder}/{number}", os.O_CREAT | os.O_WRONLY))
        if number % 1000 == 0 and time.monotonic() > end:
            break
except OSError:
    pass
print(a + b)
