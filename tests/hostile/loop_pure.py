# what: an endless loop
# kind: stdin
# verdict: fail
# ends: cpu | wall
import time

end = time.monotonic() + 30
while time.monotonic() < end:
    pass
