# what: one bytearray doubled in place up to 3 GiB
# kind: stdin
# verdict: fail
# ends: exited | memory | signal | cpu | wall
held = bytearray(b"x" * (1 << 20))
while len(held) < 3 << 30:
    held.extend(b"y" * min(len(held), (3 << 30) - len(held)))
    if len(held) >= 2 << 30:
        print("LEAK: held", len(held) >> 20, "MiB", flush=True)
        break
