# what: sets the soft limit of the stack to the hard one
import resource
import sys

_, hard = resource.getrlimit(resource.RLIMIT_STACK)
resource.setrlimit(resource.RLIMIT_STACK, (hard, hard))
sys.setrecursionlimit(200_000)
a, b = map(int, input().split())
print(a + b)
