"""Grade whole numbers alone after a chain's last `answer`, as generated chains state them."""

from __future__ import annotations

import re

from hyperscale.grading.base import NOTHING, Extraction, Grader
from hyperscale.grading.chains import answer_of

_NUMBER = re.compile("[0-9]{1,9}")


class Final(Grader):
    """Grader of whole numbers at a chain's end."""

    name = "final"

    def extract(self, text: str, *, finished: bool) -> Extraction:
        """Find the number after the last `answer`."""
        return final_answer(text, finished=finished)

    def normal(self, answer: str) -> str | None:
        """Drop leading zeros."""
        return final_normal(answer)


def final_answer(text: str, *, finished: bool) -> Extraction:
    """Find the number of a finished chain; an unfinished one has no answer, and no vote."""
    answer = answer_of(text) if finished else None
    if answer is None:
        return NOTHING
    return Extraction(answer, final_normal(answer))


def final_normal(answer: str) -> str | None:
    """Drop leading zeros; None for anything but a single number."""
    return str(int(answer)) if _NUMBER.fullmatch(answer) else None
