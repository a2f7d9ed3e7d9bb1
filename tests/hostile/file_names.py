# what: file names with newlines, bytes that are no UTF-8, leading dashes and shell code
# kind: stdin
# verdict: pass
# ends: exited
import os
import tempfile

a, b = map(int, input().split())
names = [b"two\nlines", b"\xff\xfe\x80", b"-rf", b"$(touch shell)", b"`id`", b"; true", b"\x1b[2J", b"x" * 255, b" "]
for folder in {os.getcwd(), tempfile.gettempdir()}:
    for name in names:
        try:
            os.close(os.open(os.path.join(folder.encode(), name), os.O_CREAT | os.O_WRONLY))
        except OSError:
            pass
print(a + b)
