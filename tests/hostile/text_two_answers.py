# what: every answer there is, one a line
# kind: stdin
# verdict: fail
# ends: exited
for number in range(100):
    print(number)
