# what: numpy
# needs: numpy
import numpy as np

numbers = np.array(input().split(), dtype=np.int64)
print(numbers.sum())
