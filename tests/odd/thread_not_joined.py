# what: the answer comes from a thread that nobody joins
import threading
import time


def main():
    time.sleep(0.1)
    a, b = map(int, input().split())
    print(a + b)


threading.Thread(target=main).start()
