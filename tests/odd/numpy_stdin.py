# what: numpy reading stdin itself, and a product that uses its threads
# needs: numpy
import sys

import numpy as np

numbers = np.loadtxt(sys.stdin, dtype=np.int64)
unit = np.eye(300)
print(int(numbers.sum() + (unit @ unit).sum() - 300))
