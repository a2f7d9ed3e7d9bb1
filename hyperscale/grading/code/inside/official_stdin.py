"""Feed a program as LiveCodeBench's grader does: inside this process, with a stand-in for stdin, quirks included.

`official_stdin.py SECONDS`; lines as in serve.py. Quirks that fail right programs:

* the program becomes the body of a function: `global` finds nothing, `from __future__` is a syntax error;
* the stand-in for stdin cannot be iterated, and its `buffer.readline` returns the first line each time;
* `from sys import stdin` finds the real one, which has other `read`, `readline` and `readlines`, and no input;
* `from sys import stdout` finds the real one, whose output is lost; `open(0)` opens the real stdin.
"""

from __future__ import annotations

import ast
import io
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any
from unittest import mock

from guard import ring  # type: ignore[import-not-found]
from prelude import PRELUDE  # type: ignore[import-not-found]
from serve import serve  # type: ignore[import-not-found]
from values import dumps  # type: ignore[import-not-found]

_MAIN = "__name__ == '__main__'"
_BODY = "wrapped_function"


class _Buffer:
    """Bytes of the whole input at every read."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def read(self, *_: object) -> bytes:
        return self._content

    def readline(self, *_: object) -> bytes:
        return self._content.partition(b"\n")[0] + b"\n"


class _Stdin:
    """Stand-in for stdin: lines in turn, the whole at every read; the rest is StringIO's, but not its iteration."""

    def __init__(self, content: str) -> None:
        self._content = content
        self._lines = io.StringIO(content)
        self.buffer = _Buffer(content.encode())

    def read(self, *_: object) -> str:
        return self._content

    def readline(self, *given: int) -> str:
        return self._lines.readline(*given)

    def readlines(self, *_: object) -> list[str]:
        return self._content.split("\n")

    def __getattr__(self, name: str) -> object:
        return getattr(self._lines, name)


def rewritten(source: str) -> str:
    """Rewrite the program as the body of a function, after its imports; unchanged where that fails."""
    try:
        body = ast.parse(_without_guard(source)).body
        imports = [line for line in body if isinstance(line, (ast.Import, ast.ImportFrom))]
        rest = [line for line in body if line not in imports]
        nothing = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
        function = ast.FunctionDef(name=_BODY, args=nothing, body=rest, decorator_list=[], lineno=-1)
        parts = [PRELUDE, *(ast.unparse(line) for line in imports), ast.unparse(function)]
        return "\n".join(parts) + "\n"
    except Exception:
        return source


def _without_guard(source: str) -> str:
    """Replace a last `if __name__ == "__main__"` by its body."""
    try:
        body = ast.parse(source).body
        last = body[-1]
        if isinstance(last, ast.If) and ast.unparse(last.test).strip() == _MAIN:
            return "\n".join(ast.unparse(line) for line in [*body[:-1], *last.body])
    except Exception:
        return source
    return source


def _giving(what: Callable[[], Any]) -> Callable[..., Any]:
    """Make a function that ignores its arguments."""
    return lambda *_: what()


def run(function: object, given: str) -> str:
    """Run the function on an input; returns its output on `sys.stdout`."""
    lines = iter(given.split("\n"))
    real, output = sys.stdin, io.StringIO()
    with (
        # The real stdin first: a name bound at import finds its methods.
        mock.patch.object(real, "read", _giving(lambda: given)),
        mock.patch.object(real, "readlines", _giving(lambda: given.split("\n"))),
        mock.patch.object(real, "readline", _giving(lambda: next(lines))),
        mock.patch.object(sys, "stdin", _Stdin(given)),
        mock.patch("builtins.open", mock.mock_open(read_data=given)),
    ):
        kept, sys.stdout = sys.stdout, output
        output.close = lambda x: 1  # type: ignore[method-assign, misc, assignment]
        try:
            function()  # type: ignore[operator]
        except SystemExit:
            pass
        finally:
            sys.stdout = kept
    return output.getvalue()


def load(source: str) -> Callable[[], None]:
    """Load the program as a function."""
    module = ModuleType("tmp_sol")
    code = rewritten(source)
    # Without this file's `from __future__`: the program's annotations are evaluated, as in LiveCodeBench's grader.
    exec(compile(code, "<string>", "exec", dont_inherit=True), module.__dict__)
    function: Callable[[], None] = getattr(module.Solution() if "class Solution" in code else module, _BODY)
    return function


def test(function: Callable[[], None], given: str) -> str:
    """Compute the output for a test's input."""
    output = run(function, given)
    ring(0)
    return str(dumps(output))


serve(int(sys.argv[1]), load, test)
