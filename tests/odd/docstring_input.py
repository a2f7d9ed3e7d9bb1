# what: a module docstring that looks like code with a main guard
"""
if __name__ == "__main__":
    print("in the docstring")
"""
a, b = map(int, input().split())
print(a + b)
