# what: the class of the functional kind, called by hand
class Solution:
    def add(self, a: int, b: int) -> int:
        return a + b


if __name__ == "__main__":
    print(Solution().add(*map(int, input().split())))
