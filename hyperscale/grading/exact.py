"""Grade whole texts: equal to the gold, letter for letter, but for surrounding white space."""

from __future__ import annotations

from hyperscale.grading.base import MAX_ANSWER, NOTHING, Extraction, Grader


class Exact(Grader):
    """Grader of the text after the reasoning: equal to the gold as a string, both stripped."""

    name = "exact"

    def extract(self, text: str, *, finished: bool) -> Extraction:
        """Take all of a finished text; NOTHING where it is empty, or longer than MAX_ANSWER."""
        answer = text.strip()
        if not finished or self.normal(answer) is None:
            return NOTHING
        return Extraction(answer, answer)

    def normal(self, answer: str) -> str | None:
        """Strip the answer; None where it is empty, or longer than MAX_ANSWER characters."""
        answer = answer.strip()
        return answer if 0 < len(answer) <= MAX_ANSWER else None
