"""Judge a HumanEval program as OpenAI's grader: program and test in one process. `official_check.py SECONDS`."""

from __future__ import annotations

import os
import sys

from channel import open_channel  # type: ignore[import-not-found]
from guard import arm, guard, ring  # type: ignore[import-not-found]


def main() -> None:
    """Send `passed` if nothing is raised in time, else `failed`."""
    channel = open_channel()
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "program.py"), encoding="utf-8") as file:
        source = file.read()
    arm()
    guard()
    channel.receive()
    try:
        ring(int(sys.argv[1]))
        exec(compile(source, "<string>", "exec", dont_inherit=True), {})
        ring(0)
        verdict = "passed"
    except BaseException:
        ring(0)
        verdict = "failed"
    channel.send(verdict)


main()
