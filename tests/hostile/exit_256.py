# what: a wrong answer under exit codes that wrap round to 0
# kind: stdin
# verdict: fail
# ends: exited
import os

os.write(1, b"41\n")
os._exit(256)
