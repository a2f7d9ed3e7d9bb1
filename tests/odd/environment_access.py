# what: asks the environment, the platform and the user, with defaults
import getpass
import os
import platform

home = os.environ.get("HOME", "/nowhere")
debug = os.environ.get("DEBUG", "0") == "1"
platform.system(), os.cpu_count(), os.getcwd(), os.getpid(), os.path.expanduser("~")
try:
    getpass.getuser()
except (KeyError, OSError, ImportError):
    pass
a, b = map(int, input().split())
print(a + b if not debug else "debug")
