"""Imports that LiveCodeBench puts before every program: LeetCode solutions use `List` without importing it."""

_STARRED = (
    "string", "re", "datetime", "collections", "heapq", "bisect", "copy", "math", "random", "statistics", "itertools",
    "functools", "operator", "io", "sys", "json", "builtins", "typing",
)  # fmt: skip
"""Order matters: later names hide earlier ones (`pow` of math, `open` of io), and builtins restore their own."""

_NAMED = tuple(name for name in _STARRED if name not in ("builtins", "typing"))

PRELUDE = "".join(
    [
        *(f"from {name} import *\n" for name in _STARRED),
        *(f"import {name}\n" for name in _NAMED),
        "sys.setrecursionlimit(50000)\n",
    ]
)


def find_function(source: str, space: dict[str, object], name: str) -> object:
    """Find the function of a program that was run in `space`: a method of `Solution`, if there is such a class."""
    if "class Solution" in source:
        solution: object = space["Solution"]()  # type: ignore[operator]
        return getattr(solution, name)
    return space[name]
