# what: a list that grows until memory is gone
# kind: stdin
# verdict: fail
# ends: exited | memory | signal | cpu | wall
held = []
for _ in range(192):
    held.append(b"x" * (16 << 20))
print("LEAK: held", sum(map(len, held)) >> 20, "MiB")
