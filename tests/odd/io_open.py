# what: io.open(0, 'rb') wrapped in a TextIOWrapper
import io

with io.TextIOWrapper(io.BufferedReader(io.open(0, "rb", buffering=0, closefd=False)), encoding="ascii") as stream:
    a, b = map(int, stream.read().split())
print(a + b)
