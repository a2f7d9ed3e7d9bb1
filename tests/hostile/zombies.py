# what: leaves forty dead children that nobody waits for, then answers
# kind: stdin
# verdict: pass
# ends: exited
import os

a, b = map(int, input().split())
for _ in range(40):
    try:
        if os.fork() == 0:
            os._exit(3)
    except OSError:
        break
print(a + b)
