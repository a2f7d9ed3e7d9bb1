# what: forks before anything is read; the child reads stdin
import os
import sys

pid = os.fork()
if pid == 0:
    a, b = map(int, sys.stdin.readline().split())
    print(a + b)
    sys.exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
