# what: codecs.getreader around the bytes of stdin
import codecs
import sys

reader = codecs.getreader("utf-8")(sys.stdin.buffer)
writer = codecs.getwriter("utf-8")(sys.stdout.buffer)
a, b = map(int, reader.readline().split())
writer.write(f"{a + b}\n")
writer.flush()
