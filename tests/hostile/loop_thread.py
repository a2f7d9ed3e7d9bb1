# what: the main thread answers and ends; another thread keeps the process alive
# kind: stdin
# verdict: fail
# ends: cpu | wall
import threading
import time

a, b = map(int, input().split())
print(a + b, flush=True)
end = time.monotonic() + 30


def spin():
    while time.monotonic() < end:
        pass


threading.Thread(target=spin).start()
