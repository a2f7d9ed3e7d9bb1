# what: writes a file in the current folder, reads it again and removes it
import os
import pathlib

path = pathlib.Path("answer.txt")
path.write_text(str(sum(map(int, input().split()))))
print(path.read_text())
os.remove("answer.txt")
