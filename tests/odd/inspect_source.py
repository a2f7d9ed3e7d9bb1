# what: inspect.getsource, pickle and copy of names of the main module
import copy
import inspect
import pickle


class Pair:
    def __init__(self, a, b):
        self.a, self.b = a, b


def add(pair):
    return pair.a + pair.b


assert "pair.a" in inspect.getsource(add)
pair = pickle.loads(pickle.dumps(copy.deepcopy(Pair(*map(int, input().split())))))
print(pickle.loads(pickle.dumps(add))(pair))
