"""Extract a chain's answer: the text after the reasoning, and the last box in it."""

from __future__ import annotations

import re

MAX_ANSWER = 1000
"""Length of the longest accepted answer (characters); the longest gold of MATH-500 has 56."""

_OPEN, _CLOSE = "<think>", "</think>"
_BOX_TOKENS = re.compile(r"\\\\?(?:boxed|fbox)\s*\{|\\.|[{}]", re.DOTALL)


def visible_text(text: str) -> str | None:
    """Return the text after the last `</think>`; all of it without reasoning, None where reasoning never closed."""
    visible = text.rpartition(_CLOSE)[2]
    return None if _OPEN in visible else visible


def last_box(text: str) -> str | None:
    r"""Return the content of the last `\boxed{...}` that is balanced and not empty; None if there is none.

    "Last" is the box that opens last, so the inner one of two nested boxes. One pass, linear in the text, with or
    without unclosed boxes.
    """
    opened: list[tuple[int, bool]] = []
    last_start, content = -1, None
    for token in _BOX_TOKENS.finditer(text):
        mark = token.group()
        if mark.endswith("{") and mark != r"\{":
            opened.append((token.end(), mark != "{"))
        elif mark == "}" and opened:
            start, is_box = opened.pop()
            if is_box and start > last_start and (inside := text[start : token.start()].strip()):
                last_start, content = start, inside
    return content
