# what: encoded surrogates and overlong forms that decode to the answer under a careless decoder
# kind: stdin
# verdict: fail
# ends: exited
import os

os.write(1, b"\xc0\xb4\xc0\xb2\n\xed\xa0\x80")
