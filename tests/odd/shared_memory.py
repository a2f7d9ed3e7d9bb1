# what: multiprocessing.shared_memory
from multiprocessing import shared_memory

a, b = map(int, input().split())
block = shared_memory.SharedMemory(create=True, size=16)
try:
    block.buf[:8] = a.to_bytes(8, "little")
    block.buf[8:16] = b.to_bytes(8, "little")
    print(int.from_bytes(block.buf[:8], "little") + int.from_bytes(block.buf[8:16], "little"))
finally:
    block.close()
    block.unlink()
