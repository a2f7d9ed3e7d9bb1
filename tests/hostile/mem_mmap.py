# what: anonymous mappings, one byte of each page written
# kind: stdin
# verdict: fail
# ends: exited | memory | signal | cpu | wall
import mmap

held = []
page = b"x" * mmap.PAGESIZE
for _ in range(48):
    part = mmap.mmap(-1, 64 << 20)
    for _ in range((64 << 20) // mmap.PAGESIZE):
        part.write(page)
    held.append(part)
    if len(held) >= 24:
        print("LEAK: held", len(held) * 64, "MiB", flush=True)
        break
