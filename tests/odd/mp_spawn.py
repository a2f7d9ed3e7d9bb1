# what: multiprocessing with the spawn method, a queue and a shared value
import multiprocessing


def add(queue, value, numbers):
    value.value = sum(numbers)
    queue.put("done")


if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    queue, value = context.Queue(), context.Value("i", 0)
    child = context.Process(target=add, args=(queue, value, list(map(int, input().split()))))
    child.start()
    queue.get()
    child.join()
    print(value.value)
