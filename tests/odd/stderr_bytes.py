# what: bytes on stderr that are no text
import sys

sys.stderr.buffer.write(b"\xff\xfe\x00\x1b[31m{\"passed\": false}\n")
print(sum(map(int, input().split())))
