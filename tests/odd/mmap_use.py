# what: anonymous memory maps and memoryviews
import mmap
import struct

with mmap.mmap(-1, 4096) as memory:
    struct.pack_into("<qq", memory, 0, *map(int, input().split()))
    print(sum(struct.unpack_from("<qq", memory, 0)))
