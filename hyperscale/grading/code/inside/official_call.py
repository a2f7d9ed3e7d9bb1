"""A function, called as LiveCodeBench's grader calls it. `official_call.py NAME SECONDS`.

The first line in asks for the program to be loaded; each further one holds a test's input as in the dataset. Lines out:
`value RESULT`, `timeout` or `error`. One instance of `Solution` serves all tests, as there.
"""

from __future__ import annotations

import json
import os
import sys
from types import ModuleType

from channel import open_channel  # type: ignore[import-not-found]
from guard import arm, failure, guard, import_numpy, ring, see_faults  # type: ignore[import-not-found]
from prelude import PRELUDE, find_function  # type: ignore[import-not-found]
from values import dumps  # type: ignore[import-not-found]


def main() -> None:
    """Answer until nobody asks; what is no Exception ends the process, as there."""
    name, seconds = sys.argv[1], int(sys.argv[2])
    channel = open_channel()
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "program.py"), encoding="utf-8") as file:
        source = file.read()
    import_numpy(source)
    arm()
    guard()
    channel.receive()
    try:
        ring(seconds)
        module = ModuleType("tmp_sol")
        # Without this file's own `from __future__`: the program's annotations are evaluated, as there.
        exec(compile(PRELUDE + "\n\n" + source, "<string>", "exec", dont_inherit=True), module.__dict__)
        function = find_function(source, module.__dict__, name)
        ring(0)
    except Exception as error:
        ring(0)
        channel.send(failure(error))
        return
    channel.send("loaded")
    while (line := channel.receive()) is not None:
        try:
            arguments = [json.loads(part) for part in json.loads(line).split("\n")]
        except ValueError:
            channel.send("error")
            return
        ring(seconds)
        if not see_faults():
            channel.send("error")
            return
        try:
            result = function(*arguments)
            ring(0)
            answer = "value " + dumps(list(result) if isinstance(result, tuple) else result)
        except Exception as error:
            ring(0)
            answer = failure(error)
        channel.send(answer)


main()
