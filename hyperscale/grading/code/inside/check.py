"""Run a HumanEval test; the program under test answers from a sandbox of its own. `check.py NAME`.

NAME is the function under test, which tests may also call by its name. Lines out: `call ARGUMENTS`, each answered by
its result, and at the end `passed` or `failed`.
"""

from __future__ import annotations

import os
import sys

from channel import open_channel  # type: ignore[import-not-found]
from values import dumps, loads  # type: ignore[import-not-found]


def main() -> None:
    """Run the test of /box/test.py, which begins with the prompt's definitions."""
    channel = open_channel()
    channel.receive()

    def candidate(*arguments: object) -> object:
        channel.send("call " + dumps(arguments))
        kind, _, value = (channel.receive() or "error end").partition(" ")
        if kind != "value":
            raise RuntimeError(value)
        return loads(value)

    space: dict[str, object] = {"__name__": "test"}
    try:
        with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "test.py"), encoding="utf-8") as file:
            exec(compile(file.read(), "test.py", "exec", dont_inherit=True), space)
        space[sys.argv[1]] = candidate
        space["check"](candidate)  # type: ignore[operator]
        verdict = "passed"
    except BaseException:
        verdict = "failed"
    channel.send(verdict)


main()
