# what: one line with semicolons
import sys; a, b = map(int, sys.stdin.readline().split()); c = a + b; print(c);
