"""Find the program in a chain."""

from __future__ import annotations

import re
from typing import NamedTuple

_FENCE = re.compile(r"^([ \t]*)(`{3,}|~{3,})[ \t]*([^`\n]*)$")
_PYTHON = ("", "py", "python", "python2", "python3")


class Block(NamedTuple):
    """A program, None where there is none; `open`: a later fenced block begins and never ends."""

    source: str | None
    open: bool


def last_block(text: str, function: str | None = None) -> Block:
    """Find the last complete fenced block of Python, or without a language.

    With a `function`, the last that defines it, if one does: many answers go on with an example of its use.
    """
    blocks, is_open = _blocks(text)
    if function is not None:
        defines = re.compile(rf"^[ \t]*(async[ \t]+)?def[ \t]+{re.escape(function)}[ \t]*\(", re.MULTILINE)
        blocks = [block for block in blocks if defines.search(block)] or blocks
    return Block(blocks[-1] if blocks else None, is_open)


def between_last_fences(text: str) -> str:
    """Find LiveCodeBench's program: the lines between the last two that hold three backticks; empty without two."""
    lines = text.split("\n")
    fences = [index for index, line in enumerate(lines) if "```" in line]
    return "\n".join(lines[fences[-2] + 1 : fences[-1]]) if len(fences) >= 2 else ""


def _blocks(text: str) -> tuple[list[str], bool]:
    """List complete blocks of Python, and tell whether the last fence opens a block that never ends."""
    blocks: list[str] = []
    mark: str | None = None
    indent = ""
    kept = False
    lines: list[str] = []
    for line in text.replace("\r\n", "\n").split("\n"):
        found = _FENCE.match(line)
        if mark is None:
            if found:
                language = found[3].strip().lower().split(" ")[0].strip("{}.")
                indent, mark, kept, lines = found[1], found[2], language in _PYTHON, []
        # A fence deeper than a list can be is part of the code, as in a docstring.
        elif found and len(found[1]) <= len(indent) + 3 and _closes(found, mark):
            if kept:
                blocks.append("\n".join(lines) + "\n")
            mark = None
        else:
            # A block in a list is indented as a whole.
            lines.append(line.removeprefix(indent))
    return blocks, mark is not None


def _closes(found: re.Match[str], mark: str) -> bool:
    return found[2][0] == mark[0] and len(found[2]) >= len(mark) and not found[3].strip()
