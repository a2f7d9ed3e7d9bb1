"""Answers that are the whole text: equal to the gold, letter for letter, but for white space around them."""

from __future__ import annotations

from hyperscale.grading.base import NOTHING, Extraction, Grader
from hyperscale.grading.extract import MAX_ANSWER


class Exact(Grader):
    """Compare the text after the reasoning with the gold, both stripped, as strings."""

    name = "exact"

    def extract(self, text: str, *, finished: bool) -> Extraction:
        """All of a text that ended by itself; none where it is empty, or longer than MAX_ANSWER."""
        answer = text.strip()
        if not finished or self.normal(answer) is None:
            return NOTHING
        return Extraction(answer, answer)

    def normal(self, answer: str) -> str | None:
        """The answer, stripped; None where nothing is left, or more than MAX_ANSWER characters are."""
        answer = answer.strip()
        return answer if 0 < len(answer) <= MAX_ANSWER else None
