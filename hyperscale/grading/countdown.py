"""Answers that are verified, not compared: a sum of given numbers that must make a target."""

from __future__ import annotations

from hyperscale.grading.base import NOTHING, Extraction, Grader, ungradable
from hyperscale.procedural.base import answer_of
from hyperscale.procedural.countdown import Countdown, signed_terms


class CountdownSum(Grader):
    """Verify sums: many answers are right, and none is compared with another but for its terms."""

    name = "countdown"

    def extract(self, text: str, *, finished: bool) -> Extraction:
        """Words behind the last `answer`, in a chain that ended by itself: a cut may have split the sum."""
        answer = answer_of(text) if finished else None
        return NOTHING if answer is None else Extraction(answer, self.normal(answer))

    def normal(self, answer: str) -> str | None:
        """The terms with their signs, sorted; None where it is not a sum of three numbers."""
        terms = signed_terms(answer)
        return None if terms is None else " ".join(f"{term:+d}" for term in sorted(terms))

    def gold(self, text: str) -> str:
        """The gold itself, which states a problem as `9 11 22 19 ? 14` does: four numbers and the target."""
        if Countdown.from_gold(text) is None:
            raise ungradable(text, self.name)
        return text

    def right(self, gold: str, found: Extraction) -> bool:
        """Whether the answer uses the numbers of the gold, each at most as often as there, and hits its target."""
        problem = Countdown.from_gold(gold)
        return found.answer is not None and problem is not None and problem.is_right(found.answer)
