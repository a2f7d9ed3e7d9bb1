# what: temporary files and folders
import os
import tempfile

with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "numbers.txt")
    with open(path, "w") as file:
        file.write(input())
    with open(path) as file, tempfile.NamedTemporaryFile("w+") as copy, tempfile.TemporaryFile() as third:
        copy.write(file.read())
        copy.seek(0)
        third.write(copy.read().encode())
        third.seek(0)
        print(sum(map(int, third.read().split())))
