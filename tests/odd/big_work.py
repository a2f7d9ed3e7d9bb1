# what: 200 MiB of memory and half a second of work
a, b = map(int, input().split())
numbers = list(range(3_000_000))
block = b"x" * (100 << 20)
print(a + b + sum(numbers) - sum(numbers[::-1]) + len(block) - (100 << 20))
