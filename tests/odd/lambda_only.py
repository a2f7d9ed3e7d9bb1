# what: one expression of lambdas with a fixed-point combinator
(lambda f: print(f(f, *map(int, input().split()))))(lambda f, a, b: a if not b else f(f, a + 1, b - 1))
