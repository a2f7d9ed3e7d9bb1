# kind: functional
class Solution:
    def stringSequence(self, target: str) -> List[str]:
        shown = []
        for i, c in enumerate(target):
            for code in range(ord("a"), ord(c) + 1):
                shown.append(target[:i] + chr(code))
        return shown
