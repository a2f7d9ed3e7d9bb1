# what: the right answer, then reads address zero
# kind: stdin
# verdict: fail
# ends: signal
import ctypes

a, b = map(int, input().split())
print(a + b, flush=True)
ctypes.string_at(0)
