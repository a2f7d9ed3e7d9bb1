# what: exceptions for control flow, exception groups, and finally around an exit
import sys

try:
    try:
        raise ExceptionGroup("both", [ValueError(n) for n in map(int, input().split())])
    except* ValueError as group:
        total = sum(error.args[0] for error in group.exceptions)
    sys.exit()
except SystemExit:
    pass
finally:
    print(total)
