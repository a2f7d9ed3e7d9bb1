# what: several decimals a line, with other digits than expected but equal
# input: '1 2 3\n'
# output: '0.5 1.0 1.5\n6\n'
numbers = list(map(int, input().split()))
print(*(f"{x / 2:.6f}" for x in numbers))
print(f"{sum(numbers):.2f}")
