# what: twenty thousand lines of source, which it writes itself
lines = ["total = 0", *(f"total += {number % 2}" for number in range(20_000))]
exec("\n".join(lines))
print(sum(map(int, input().split())) + total - 10_000)
