# what: exceptions caught and their tracebacks printed to stderr
import logging
import traceback

logging.basicConfig(level=logging.DEBUG)
try:
    int(input().strip() + "x")
except ValueError:
    traceback.print_exc()
    logging.exception("failed, as it should")
print(42)
