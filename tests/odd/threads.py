# what: thirty-two threads that each print under a lock
import threading

# every thread adds its own share of the two numbers
a, b = map(int, input().split())
total, lock = 0, threading.Lock()


def add(part):
    global total
    with lock:
        total += part


threads = [threading.Thread(target=add, args=(part,)) for part in [1] * 30 + [a - 30, b]]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(total)
