"""Answers that are a whole number and stand alone behind the chain's last `answer`, as generated chains write them."""

from __future__ import annotations

import re

from hyperscale.grading.base import NOTHING, Extraction, Grader
from hyperscale.grading.chains import answer_of

_NUMBER = re.compile("[0-9]{1,9}")


class Final(Grader):
    """Compare whole numbers."""

    name = "final"

    def extract(self, text: str, *, finished: bool) -> Extraction:
        """The number behind the last `answer`."""
        return final_answer(text, finished=finished)

    def normal(self, answer: str) -> str | None:
        """The number without leading zeros."""
        return final_normal(answer)


def final_answer(text: str, *, finished: bool) -> Extraction:
    """The number, in a chain that ended by itself. A chain that ends elsewhere has no answer, and no vote."""
    answer = answer_of(text) if finished else None
    if answer is None:
        return NOTHING
    return Extraction(answer, final_normal(answer))


def final_normal(answer: str) -> str | None:
    """The number without leading zeros; None if it is none, or not alone."""
    return str(int(answer)) if _NUMBER.fullmatch(answer) else None
