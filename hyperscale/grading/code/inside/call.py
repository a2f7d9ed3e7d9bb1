"""Calls a function of the program under test. `call.py NAME PRELUDE`: lines of arguments in, lines of results out.

The program is loaded once, and each call made in a fork of its own: no call sees what another left behind.
Lines out: `value RESULT`, `error KIND`, or `timeout` where the processor's time was up.
"""

from __future__ import annotations

import os
import signal
import sys
from types import ModuleType

from channel import Channel, open_channel  # type: ignore[import-not-found]
from prelude import PRELUDE, find_function  # type: ignore[import-not-found]
from values import dumps, loads  # type: ignore[import-not-found]


def load() -> object:
    """The function under test."""
    with open("/box/program.py", encoding="utf-8") as file:
        source = file.read()
    module = ModuleType("solution")
    sys.modules["solution"] = module
    prelude = PRELUDE if sys.argv[2] == "prelude" else ""
    exec(compile(prelude + source, "program.py", "exec"), module.__dict__)
    return find_function(source, module.__dict__, sys.argv[1])


def answer(function: object, line: str) -> str:
    """What a call gives. Whatever the program raises is an answer, too."""
    try:
        return "value " + dumps(function(*loads(line)))  # type: ignore[operator]
    except BaseException as error:
        return "error " + type(error).__name__


def main() -> None:
    """Answer until nobody asks."""
    channel: Channel = open_channel()
    line = channel.receive()
    try:
        function = load()
    except BaseException as error:
        channel.send("error " + type(error).__name__)
        return
    while line is not None:
        child = os.fork()
        if child == 0:
            try:
                channel.send(answer(function, line))
            finally:
                os._exit(0)
        status = os.waitpid(child, 0)[1]
        if os.WIFSIGNALED(status):
            channel.send("timeout" if os.WTERMSIG(status) == signal.SIGXCPU else "error signal")
        line = channel.receive()


main()
