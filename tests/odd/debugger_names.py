# what: names that a wrapper may use itself
def wrapped_function():
    return 0


code = method = result = inputs = outputs = expected = test = check = candidate = solution = None
a, b = map(int, input().split())
result = a + b
print(result)
