"""Which part of a chain is the program."""

from __future__ import annotations

import re
from typing import NamedTuple

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})[ \t]*([^`\n]*)$")
_PYTHON = ("", "py", "python", "python2", "python3")


class Code(NamedTuple):
    """A program, None where there is none; `open`: a later fenced block begins and never ends."""

    source: str | None
    open: bool


def last_block(text: str) -> Code:
    """The last complete fenced block that may be Python: without a language, or with that one."""
    source: str | None = None
    mark: str | None = None
    kept = False
    lines: list[str] = []
    for line in text.splitlines():
        found = _FENCE.match(line)
        if mark is None:
            if found:
                language = found[2].strip().lower().split(" ")[0].strip("{}.")
                mark, kept, lines = found[1], language in _PYTHON, []
        elif found and found[1][0] == mark[0] and len(found[1]) >= len(mark) and not found[2].strip():
            source, mark = ("\n".join(lines) + "\n" if kept else source), None
        else:
            lines.append(line)
    return Code(source, mark is not None)


def between_last_fences(text: str) -> str:
    """What LiveCodeBench takes: the lines between the last two that hold three backticks; nothing without two."""
    lines = text.split("\n")
    fences = [index for index, line in enumerate(lines) if "```" in line]
    return "\n".join(lines[fences[-2] + 1 : fences[-1]]) if len(fences) >= 2 else ""
