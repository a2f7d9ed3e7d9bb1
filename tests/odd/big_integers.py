# what: integers beyond the limit on digits, lifted
import sys

sys.set_int_max_str_digits(0)
a, b = map(int, input().split())
big = 10**20_000
assert len(str(big)) == 20_001
print(big + a + b - big)
