"""Grade whole numbers alone after a generated chain's last word `answer`, at its end."""

from __future__ import annotations

import re

from hyperscale.grading.base import NOTHING, Extraction, Grader

ANSWER, END = "answer", "<eos>"
_LONGEST_ANSWER = 100

_NUMBER = re.compile("[0-9]{1,9}")


def answer_of(chain: str) -> str | None:
    """Return the words between the last `answer` and the end of a chain; None where there are none, or too many."""
    before, mark, after = chain.rpartition(ANSWER)
    alone = mark and (not before or before[-1].isspace()) and after[:1].isspace()
    if not alone or len(after) > _LONGEST_ANSWER:
        return None
    words = after.split()
    return " ".join(words[:-1] if words[-1:] == [END] else words) or None


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
