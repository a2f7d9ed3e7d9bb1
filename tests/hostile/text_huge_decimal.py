# what: a number whose comparison as an exact number would need gigabytes
# kind: stdin
# verdict: fail
# ends: exited
print("1e999999999999999999")
