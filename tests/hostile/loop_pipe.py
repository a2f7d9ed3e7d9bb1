# what: blocks in a read that nobody will ever answer
# kind: stdin
# verdict: fail
# ends: wall
import os
import signal

signal.alarm(30)
read_end, write_end = os.pipe()
os.read(read_end, 1)
