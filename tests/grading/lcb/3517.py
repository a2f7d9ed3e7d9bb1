# kind: functional
class Solution:
    def shortestDistanceAfterQueries(self, n: int, queries: List[List[int]]) -> List[int]:
        into = defaultdict(list)
        for v in range(1, n):
            into[v].append(v - 1)
        dist = list(range(n))
        answer = []
        for u, v in queries:
            into[v].append(u)
            for w in range(v, n):
                dist[w] = min(dist[p] for p in into[w]) + 1
            answer.append(dist[-1])
        return answer
