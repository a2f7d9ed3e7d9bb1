"""Call a function of the program under test, each time in a fork of its own that loads the program anew.

`call.py NAME FORM ALONE`. FORM is the form of the arguments: `json`, a string of lines of JSON, for a program after
LiveCodeBench's prelude; or `values`, as values.py writes them, for a program after before.py, with one limit on
processor time for all calls. ALONE is `alone` in a PID namespace: processes and files that a call leaves behind are
then removed before the next.

Lines out: `value RESULT`, `error WHY`, or `timeout`.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import resource
import select
import signal
import subprocess
import sys
from types import CodeType, ModuleType

from channel import Channel, open_channel  # type: ignore[import-not-found]
from prelude import PRELUDE, find_function  # type: ignore[import-not-found]
from values import dumps, loads  # type: ignore[import-not-found]

NAME, FORM, ALONE = sys.argv[1], sys.argv[2], sys.argv[3] == "alone"
BOX = os.path.dirname(os.path.abspath(__file__))
MOST_BYTES = 1 << 28


class Under:
    """The program under test: compiled once, run in each fork."""

    def __init__(self) -> None:
        self.module = ModuleType("solution")
        sys.modules["solution"] = self.module
        exec(PRELUDE if FORM == "json" else compiled("before.py"), self.module.__dict__)
        with open(os.path.join(BOX, "program.py"), encoding="utf-8") as file:
            self.source = file.read()
        self.code = compiled("program.py")

    def answer(self, line: str) -> str:
        """Call the function and return its line. Any exception of the program is an answer, too."""
        try:
            exec(self.code, self.module.__dict__)
            function = find_function(self.source, self.module.__dict__, NAME)
            given = [json.loads(part) for part in json.loads(line).split("\n")] if FORM == "json" else loads(line)
            return "value " + dumps(function(*given))
        except BaseException as error:
            return "error " + type(error).__name__


def compiled(name: str) -> CodeType:
    """Compile a file of the box, without inheriting this file's `from __future__`."""
    with open(os.path.join(BOX, name), encoding="utf-8") as file:
        return compile(file.read(), name, "exec", dont_inherit=True)


def in_a_fork(under: Under, line: str, channel: Channel) -> str:
    """Answer one line from a fork that holds nothing but a pipe of its own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    left = soft - used.ru_utime - used.ru_stime if FORM == "values" else soft
    if left <= 0:
        return "timeout"
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            channel.close()
            os.close(read)
            resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(left), min(math.ceil(left) + 1, hard)))
            said = under.answer(line).encode()
            while said:
                said = said[os.write(write, said) :]
        finally:
            os._exit(0)
    os.close(write)
    answer = listen(read, child)
    status = os.waitpid(child, 0)[1]
    if ALONE:
        clear()
    if answer.startswith((b"value ", b"error ")) and b"\n" not in answer:
        return answer.decode("utf-8", "replace")
    return "timeout" if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU else "error exit"


def listen(read: int, child: int) -> bytes:
    """Read a pipe until the child has ended. Its descendants may hold the pipe open for longer."""
    os.set_blocking(read, False)
    ended = os.pidfd_open(child)
    found = bytearray()
    waiting = select.poll()
    waiting.register(read, select.POLLIN)
    waiting.register(ended, select.POLLIN)
    over, held = False, True
    while not over:
        over = ended in dict(waiting.poll())
        while held and len(found) < MOST_BYTES:
            try:
                chunk = os.read(read, 1 << 16)
            except BlockingIOError:
                break
            if not chunk:
                waiting.unregister(read)
                held = False
            found += chunk
        if len(found) >= MOST_BYTES:
            os.kill(child, signal.SIGKILL)
    os.close(read)
    os.close(ended)
    return bytes(found)


def clear() -> None:
    """End every process but this one and the namespace's first, and empty the writable folders."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
    for folder in ("/tmp", "/dev/shm"):
        left = [os.path.join(folder, name) for name in os.listdir(folder)]
        for command in (["chmod", "-R", "u+rwx", "--"], ["rm", "-rf", "--"]):
            if left:
                subprocess.run([*command, *left], check=False, stderr=subprocess.DEVNULL)


def main() -> None:
    """Answer lines until the input ends."""
    channel = open_channel()
    try:
        under, why = Under(), ""
    except BaseException as error:
        under, why = None, "error " + type(error).__name__
    while (line := channel.receive()) is not None:
        channel.send(why if under is None else in_a_fork(under, line, channel))


main()
