# what: the work is done by another interpreter
import subprocess
import sys

run = subprocess.run(
    [sys.executable, "-c", "print(sum(map(int, input().split())))"], input=input(), capture_output=True, text=True, check=True
)
print(run.stdout, end="")
