# what: values that compare oddly as decimals
# kind: stdin
# verdict: fail
# ends: exited
print("sNaN")
