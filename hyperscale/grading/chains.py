"""Read the answer of a generated chain: after its last word `answer`, at its end."""

from __future__ import annotations

ANSWER, END = "answer", "<eos>"
_LONGEST_ANSWER = 100


def answer_of(chain: str) -> str | None:
    """Return the words between the last `answer` and the end of a chain; None where there are none, or too many."""
    before, mark, after = chain.rpartition(ANSWER)
    alone = mark and (not before or before[-1].isspace()) and after[:1].isspace()
    if not alone or len(after) > _LONGEST_ANSWER:
        return None
    words = after.split()
    return " ".join(words[:-1] if words[-1:] == [END] else words) or None
