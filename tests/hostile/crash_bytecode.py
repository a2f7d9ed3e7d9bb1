# what: runs made-up byte code
# kind: stdin
# verdict: fail
# ends: exited | signal | cpu | wall | memory
import signal


def body():
    return 0


signal.alarm(30)
body.__code__ = body.__code__.replace(co_code=bytes([100, 255] * 50), co_consts=(), co_stacksize=1)
print(body())
