# what: os.read(0, ...) and os.write(1, ...)
import os

text = b""
while part := os.read(0, 1 << 16):
    text += part
a, b = map(int, text.split())
os.write(1, b"%d\n" % (a + b))
