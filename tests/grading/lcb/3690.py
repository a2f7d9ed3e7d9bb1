# kind: functional
class Solution:
    def minLength(self, s: str, numOps: int) -> int:
        n = len(s)
        odd = sum((c == "1") == (i % 2 == 0) for i, c in enumerate(s))
        if min(odd, n - odd) <= numOps:
            return 1
        runs = [len(list(group)) for _, group in itertools.groupby(s)]
        low, high = 2, max(runs)
        while low < high:
            mid = (low + high) // 2
            if sum(r // (mid + 1) for r in runs) <= numOps:
                high = mid
            else:
                low = mid + 1
        return low
