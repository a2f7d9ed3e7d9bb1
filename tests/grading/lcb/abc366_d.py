# kind: stdin
import sys


def main():
    data = sys.stdin.buffer.read().split()
    n = int(data[0])
    pos = 1
    w = n + 1
    # s[(x * w + y) * w + z]: sum over the cells below (x, y, z)
    s = [0] * (w * w * w)
    for x in range(1, w):
        for y in range(1, w):
            base = (x * w + y) * w
            up = ((x - 1) * w + y) * w
            left = (x * w + y - 1) * w
            diag = ((x - 1) * w + y - 1) * w
            row = 0
            for z in range(1, w):
                row += int(data[pos])
                pos += 1
                s[base + z] = row + s[up + z] + s[left + z] - s[diag + z]
    q = int(data[pos])
    pos += 1
    out = []
    for _ in range(q):
        lx, rx, ly, ry, lz, rz = map(int, data[pos : pos + 6])
        pos += 6
        total = 0
        for x, sx in ((rx, 1), (lx - 1, -1)):
            for y, sy in ((ry, 1), (ly - 1, -1)):
                base = (x * w + y) * w
                total += sx * sy * (s[base + rz] - s[base + lz - 1])
        out.append(total)
    print(*out, sep="\n")


main()
