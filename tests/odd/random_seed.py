# what: random numbers with and without a seed, os.urandom, secrets and uuid
import os
import random
import secrets
import uuid

random.seed(7)
x = random.random() + int.from_bytes(os.urandom(4), "big") + secrets.randbelow(10) + uuid.uuid4().int
a, b = map(int, input().split())
print(a + b + int(x * 0))
