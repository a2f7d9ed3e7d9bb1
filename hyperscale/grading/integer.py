"""Grade integers from 0 to 999: AIME."""

from __future__ import annotations

import re

from hyperscale.grading.base import NOTHING, Extraction, Grader
from hyperscale.grading.extract import MAX_ANSWER, last_box
from hyperscale.grading.number import NUMBER, plain, value_of

AIME_MAX = 999

_LABEL = re.compile(r"[\s{]*(?:[A-Za-z][A-Za-z ]*[: ]\s*)?")
_UNIT = re.compile(r"[\s}]*(?:\s(?!(?:or|and)\b)[A-Za-z][A-Za-z ]*)?[\s.]*")


class Integer(Grader):
    """Grader of integers from 0 to 999."""

    name = "integer"

    def extract(self, text: str, *, finished: bool) -> Extraction:
        """Find the last box; it is closed, so the cut cannot have split it."""
        return integer_answer(text)

    def normal(self, answer: str) -> str | None:
        """Drop leading zeros."""
        return integer_normal(answer)


def integer_answer(text: str) -> Extraction:
    """Find the last box, required to hold an integer from 0 to 999 (AIME); leading zeros are dropped."""
    box = last_box(text)
    if box is None or len(box) > MAX_ANSWER:
        return NOTHING
    return Extraction(box, integer_normal(box))


def integer_normal(answer: str) -> str | None:
    """Read an integer from 0 to 999 ("025", "m+n=25", "25.0" -> "25"), else None."""
    stated = plain(answer).rpartition("=")[2]
    found = NUMBER.search(stated)
    if found is None or not _LABEL.fullmatch(stated[: found.start()]) or not _UNIT.fullmatch(stated[found.end() :]):
        return None
    number = value_of(found)
    in_range = number is not None and number.denominator == 1 and 0 <= number <= AIME_MAX
    return str(number) if in_range else None
