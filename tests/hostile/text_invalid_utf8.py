# what: bytes that are no UTF-8, on stdout and stderr
# kind: stdin
# verdict: fail
# ends: exited
import os

os.write(2, b"\xff\xfe\x80\n")
os.write(1, b"\xff\xfe42\x80\n")
