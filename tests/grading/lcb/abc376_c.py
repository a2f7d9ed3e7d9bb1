# kind: stdin
def solve(toys, boxes):
    toys = sorted(toys, reverse=True)
    boxes = sorted(boxes, reverse=True)
    bought = -1
    j = 0
    for toy in toys:
        if j < len(boxes) and boxes[j] >= toy:
            j += 1
        elif bought < 0:
            bought = toy
        else:
            return -1
    return bought


if __name__ == "__main__":
    input()
    first = list(map(int, input().split()))
    second = list(map(int, input().split()))
    print(solve(first, second))
