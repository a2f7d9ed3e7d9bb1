"""Run the loop of LiveCodeBench's grader, for programs that are called and for those that read stdin.

The first line in loads the program; each further one holds a test's input as in the dataset, as JSON. Lines out:
`loaded`, `value RESULT`, `timeout` or `error`. A BaseException that is not an Exception ends the process, as there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import TypeVar

from channel import open_channel  # type: ignore[import-not-found]
from guard import arm, failure, guard, import_numpy, ring, see_faults  # type: ignore[import-not-found]

T = TypeVar("T")


def serve(seconds: int, load: Callable[[str], T], test: Callable[[T, str], str]) -> None:
    """Answer lines until the input ends. `load` and each `test` have `seconds` each."""
    channel = open_channel()
    folder = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(folder, "program.py"), encoding="utf-8") as file:
        source = file.read()
    import_numpy(source)
    arm()
    guard()
    channel.receive()
    try:
        ring(seconds)
        loaded = load(source)
        ring(0)
    except Exception as error:
        ring(0)
        channel.send(failure(error))
        return
    channel.send("loaded")
    while (line := channel.receive()) is not None:
        given = json.loads(line)
        ring(seconds)
        if not see_faults():
            channel.send("error")
            return
        try:
            answer = "value " + test(loaded, given)
        except Exception as error:
            answer = failure(error)
        ring(0)
        channel.send(answer)
