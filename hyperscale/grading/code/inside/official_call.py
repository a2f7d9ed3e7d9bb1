"""Call a function as LiveCodeBench's grader calls it. `official_call.py NAME SECONDS`; lines as in serve.py.

One instance of `Solution` serves all tests, as in that grader.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from guard import ring  # type: ignore[import-not-found]
from prelude import PRELUDE, find_function  # type: ignore[import-not-found]
from serve import serve  # type: ignore[import-not-found]
from values import dumps  # type: ignore[import-not-found]


def load(source: str) -> Any:
    """Load the function."""
    module = ModuleType("tmp_sol")
    # Without this file's `from __future__`: the program's annotations are evaluated, as in LiveCodeBench's grader.
    exec(compile(PRELUDE + "\n\n" + source, "<string>", "exec", dont_inherit=True), module.__dict__)
    return find_function(source, module.__dict__, sys.argv[1])


def test(function: Callable[..., object], given: str) -> str:
    """Compute the result for a test's lines of JSON."""
    arguments = [json.loads(line) for line in given.split("\n")]
    result = function(*arguments)
    ring(0)
    return str(dumps(list(result) if isinstance(result, tuple) else result))


serve(int(sys.argv[2]), load, test)
