# what: a single integer of 3 GiB
# kind: stdin
# verdict: fail
# ends: exited | memory | signal | cpu | wall
value = 1 << (8 * (3 << 30))
print("LEAK: an integer of", value.bit_length() >> 33, "GiB")
