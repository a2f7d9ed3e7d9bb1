# what: a string that doubles, with every older one kept
# kind: stdin
# verdict: fail
# ends: exited | memory | signal | cpu | wall
held = ["x" * 1024]
while len(held[-1]) < 1 << 30:
    held.append(held[-1] + held[-1])
print("LEAK: held", sum(map(len, held)) >> 20, "MiB")
