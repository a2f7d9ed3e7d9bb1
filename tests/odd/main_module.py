# what: looks itself up as the module __main__ and checks sys.argv
import sys

import __main__

assert sys.modules["__main__"] is __main__
assert len(sys.argv) == 1
assert __main__.__dict__ is globals()
assert __name__ == "__main__"
print(sum(map(int, input().split())))
