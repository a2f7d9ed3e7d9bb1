"""Answers that are verified, not compared: a sum of given numbers that must make a target."""

from __future__ import annotations

from hyperscale.grading.verdict import NOTHING, Extraction
from hyperscale.tasks.generators.base import answer_of
from hyperscale.tasks.generators.countdown import Countdown, signed_terms


def countdown_answer(text: str, *, finished: bool) -> Extraction:
    """What stands behind the last word `answer`, in a chain that ended by itself: a cut may have split the sum.

    The normal form leaves the order of the terms out; there is none where it is not a sum of three numbers.
    """
    answer = answer_of(text) if finished else None
    if answer is None:
        return NOTHING
    terms = signed_terms(answer)
    return Extraction(answer, None if terms is None else " ".join(f"{term:+d}" for term in sorted(terms)))


def countdown_gold(gold: str) -> str | None:
    """The gold itself, if it states a problem as `9 11 22 19 ? 14` does: four numbers and the target."""
    return None if Countdown.from_gold(gold) is None else gold


def is_solution(answer: str | None, gold: str) -> bool:
    """Whether the answer uses the numbers of the gold, each at most as often as there, and hits its target."""
    problem = Countdown.from_gold(gold)
    return answer is not None and problem is not None and problem.is_right(answer)
