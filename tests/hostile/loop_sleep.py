# what: sleeps, using no CPU
# kind: stdin
# verdict: fail
# ends: wall
import time

time.sleep(30)
