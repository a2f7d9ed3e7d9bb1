# kind: stdin
n = int(input())
h = [int(x) for x in input().split()]
stack = []
ans = [0] * n
for i in reversed(range(n)):
    ans[i] = len(stack)
    while stack and stack[-1] < h[i]:
        stack.pop()
    stack.append(h[i])
print(*ans)
