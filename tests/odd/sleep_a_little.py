# what: sleeps a tenth of a second
import time

time.sleep(0.1)
print(sum(map(int, input().split())))
