"""Grade the last match of the task's pattern, equal to the gold letter for letter."""

from __future__ import annotations

from collections import deque

import regex

from hyperscale.grading.base import MAX_ANSWER, NOTHING, Extraction, Grader

_SECONDS = 10.0
"""Limit on matching one text: some patterns backtrack exponentially on unforeseen input."""


class Regex(Grader):
    """Grader of group 1 of the pattern's last match, or all of it without groups: equal to the gold, both stripped.

    The pattern is in the syntax of `re`, matched by the package `regex`, which has time limits. ValueError where it is
    missing or does not compile.
    """

    name = "regex"
    takes_pattern = True

    def __init__(self, pattern: str | None) -> None:
        if not pattern:
            raise ValueError("the grader regex needs a pattern: give grader_pattern, such as 'Answer: (.+)'")
        try:
            self._pattern = regex.compile(pattern)
        except regex.error as error:
            raise ValueError(f"grader_pattern {pattern!r} is not a regular expression: {error}") from None

    def extract(self, text: str, *, finished: bool) -> Extraction:
        """Find the last match; in an unfinished text, the last that ends before the text does.

        A match whose group took no part, is empty or exceeds MAX_ANSWER is not an answer, and no earlier match
        replaces it. Flagged `timeout` where matching takes too long.
        """
        found = self._pattern.finditer(text, concurrent=True, timeout=_SECONDS)
        try:
            last = deque((match for match in found if finished or match.end() < len(text)), maxlen=1)
        except TimeoutError:
            return Extraction(None, None, "timeout")
        answer = last[0][1 if self._pattern.groups else 0] if last else None
        normal = None if answer is None else self.normal(answer)
        return NOTHING if normal is None else Extraction(normal, normal)

    def normal(self, answer: str) -> str | None:
        """Strip the answer; None where it is empty, or longer than MAX_ANSWER characters."""
        answer = answer.strip()
        return answer if 0 < len(answer) <= MAX_ANSWER else None
