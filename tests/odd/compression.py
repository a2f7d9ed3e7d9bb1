# what: the compressing and hashing modules
import bz2
import hashlib
import lzma
import zlib

text = input().encode()
for module in (zlib, bz2, lzma):
    text = module.decompress(module.compress(text))
hashlib.sha256(text).hexdigest(), hashlib.md5(text).hexdigest()
print(sum(map(int, text.split())))
