# what: a class with static, class and property methods
class Solver:
    def __init__(self, text):
        self.numbers = self.parse(text)

    @staticmethod
    def parse(text):
        return [int(word) for word in text.split()]

    @classmethod
    def from_input(cls):
        return cls(input())

    @property
    def answer(self):
        return sum(self.numbers)


print(Solver.from_input().answer)
