# kind: functional
class Solution:
    def finalPositionOfSnake(self, n, commands):
        step = {"UP": -n, "DOWN": n, "LEFT": -1, "RIGHT": 1}
        return sum(step[c] for c in commands)
