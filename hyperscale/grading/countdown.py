"""Grade sums of given numbers that must make a target, by verifying instead of comparing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from hyperscale.grading.base import NOTHING, Extraction, Grader, ungradable
from hyperscale.grading.final import answer_of

_NUMBER = "([1-9][0-9]?)"
_ANSWER = re.compile(f"{_NUMBER} ([+-]) {_NUMBER} ([+-]) {_NUMBER}")
_GOLD = re.compile(rf"{_NUMBER} {_NUMBER} {_NUMBER} {_NUMBER} \? {_NUMBER}")


class CountdownSum(Grader):
    """Grader of sums: many answers are right, and answers with the same terms vote together."""

    name = "countdown"

    def extract(self, text: str, *, finished: bool) -> Extraction:
        """Find the words after the last `answer` of a finished chain; a cut may have split the sum."""
        answer = answer_of(text) if finished else None
        return NOTHING if answer is None else Extraction(answer, self.normal(answer))

    def normal(self, answer: str) -> str | None:
        """Sort the signed terms; None where the answer is not a sum of three numbers."""
        terms = signed_terms(answer)
        return None if terms is None else " ".join(f"{term:+d}" for term in sorted(terms))

    def gold(self, text: str) -> str:
        """Check that the gold states a problem, as `9 11 22 19 ? 14`: four numbers and the target."""
        if parse_gold(text) is None:
            raise ungradable(text, self.name)
        return text

    def right(self, gold: str, found: Extraction) -> bool:
        """Decide whether the answer uses the gold's numbers, none more often than given, and makes its target."""
        stated = parse_gold(gold)
        return found.answer is not None and stated is not None and solves(found.answer, *stated)


def parse_gold(gold: str) -> tuple[tuple[int, ...], int] | None:
    """Parse numbers and target of a gold such as `9 11 22 19 ? 14`; None for another form."""
    found = _GOLD.fullmatch(gold)
    if found is None:
        return None
    *numbers, target = map(int, found.groups())
    return tuple(numbers), target


def solves(answer: str, numbers: Sequence[int], target: int) -> bool:
    """Decide whether `answer`, as `a + b - c`, uses no number more often than given, and makes the target."""
    terms = signed_terms(answer)
    used = Counter(abs(term) for term in terms or ())
    return terms is not None and sum(terms) == target and used <= Counter(numbers)


def signed_terms(answer: str) -> tuple[int, ...] | None:
    """Parse `22 - 19 + 11` to (22, -19, 11); None for another form."""
    found = _ANSWER.fullmatch(answer)
    if found is None:
        return None
    first, *rest = found.groups()
    signs = (1 if sign == "+" else -1 for sign in rest[::2])
    return int(first), *(sign * int(number) for sign, number in zip(signs, rest[1::2], strict=True))
