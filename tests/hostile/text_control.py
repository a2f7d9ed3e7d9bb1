# what: the answer wrapped in control sequences that show 42 on a terminal
# kind: stdin
# verdict: fail
# ends: exited
print("0\r\x1b[2K\x1b[1A42\x1b]0;title\x07")
