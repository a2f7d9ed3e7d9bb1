# what: ProcessPoolExecutor
from concurrent.futures import ProcessPoolExecutor


def square(x):
    return x * x


if __name__ == "__main__":
    with ProcessPoolExecutor(max_workers=2) as pool:
        numbers = list(map(int, input().split()))
        print(sum(pool.map(square, numbers)) - sum(x * x - x for x in numbers))
