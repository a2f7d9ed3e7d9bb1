# what: star imports of many modules
from bisect import *
from collections import *
from functools import *
from heapq import *
from itertools import *
from math import *
from operator import *
from string import *
from sys import *

a, b = map(int, stdin.readline().split())
print(reduce(add, [a, b]) + floor(log2(1)) + gcd(0, 0))
