# what: multiprocessing.Pool(2), which needs /dev/shm
import multiprocessing


def same(x):
    return x


if __name__ == "__main__":
    with multiprocessing.Pool(2) as pool:
        print(sum(pool.map(same, map(int, input().split()))))
