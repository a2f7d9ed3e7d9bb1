"""Countdown: add and subtract three of four numbers to reach a target. A search: length and width both help.

    countdown : 9 11 22 19 ? 14 ;
    22 ~ 9 = 13 + 11 = 24 14 no 22 ~ 19 = 3 + 11 = 14 14 yes answer 22 - 19 + 11 <eos>

`~` is the distance of two numbers. The target is restated before each verdict.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from random import Random
from typing import ClassVar, Self

from hyperscale.grading.countdown import parse_gold, solves
from hyperscale.grading.final import ANSWER, END
from hyperscale.tasks.generators.base import Puzzle

LARGEST_NUMBER, LARGEST_TARGET = 33, 99
ATTEMPTS = 48
"""Number of different attempts: 6 pairs, sum or distance, 2 numbers left, sum or distance."""
HITS = 3
"""Attempts among them that give the target: three reach every linear form of three numbers."""

_ATTEMPT_TOKENS, _ANSWER_TOKENS = 11, 7


@dataclass(frozen=True)
class Countdown(Puzzle):
    """Four numbers from 1 to 33, all different as drawn, and a target from 1 to 99."""

    stream: ClassVar[str] = "cd"
    most_problems: ClassVar[int] = 5000

    numbers: tuple[int, ...]
    target: int

    @classmethod
    def sample(cls, rng: Random) -> Self | None:
        """Draw four numbers, and as target the result of one attempt, if no more than three attempts give it."""
        numbers = tuple(rng.sample(range(1, LARGEST_NUMBER + 1), 4))
        results = list(_results(numbers))
        target = rng.choice(results)
        if not 1 <= target <= LARGEST_TARGET or target in numbers or results.count(target) > HITS:
            return None
        return cls(numbers, target)

    @classmethod
    def from_gold(cls, gold: str) -> Self | None:
        """Parse a gold to its problem; None for another form."""
        stated = parse_gold(gold)
        return None if stated is None else cls(*stated)

    @property
    def prompt(self) -> str:
        """Numbers, then target."""
        return f"countdown : {self.gold} ;"

    @property
    def gold(self) -> str:
        """Numbers and target, such as `9 11 22 19 ? 14`, as many answers are right."""
        return f"{' '.join(map(str, self.numbers))} ? {self.target}"

    @property
    def canonical(self) -> tuple[object, ...]:
        """All but the order of the numbers."""
        return tuple(sorted(self.numbers)), self.target

    @property
    def facts(self) -> dict[str, int]:
        """Expected tokens of prompt and search."""
        searched = _ATTEMPT_TOKENS * ATTEMPTS // HITS
        return {"tokens": len(self.prompt.split()) + searched + _ANSWER_TOKENS}

    def chain(self, rng: Random, max_tokens: int) -> str:
        """Draw attempts independently until one hits."""
        parts: list[str] = []
        tokens = len(self.prompt.split())
        while (tokens := tokens + _ATTEMPT_TOKENS) <= max_tokens:
            attempt, result, expression = _attempt(rng, self.numbers)
            hit = result == self.target
            parts.append(f"{attempt} {self.target} {'yes' if hit else 'no'}")
            if hit:
                parts.append(f"{ANSWER} {expression} {END}")
                break
        return " ".join(parts)

    def is_right(self, answer: str) -> bool:
        """Tell whether the answer, as `a + b - c`, uses no number more often than given, and makes the target."""
        return solves(answer, self.numbers, self.target)


def _results(numbers: tuple[int, ...]) -> Iterator[int]:
    """Compute the results of the 48 attempts."""
    for i, j in combinations(range(4), 2):
        for k in (left for left in range(4) if left not in (i, j)):
            for middle in (numbers[i] + numbers[j], abs(numbers[i] - numbers[j])):
                yield middle + numbers[k]
                yield abs(middle - numbers[k])


def _attempt(rng: Random, numbers: tuple[int, ...]) -> tuple[str, int, str]:
    """Draw an attempt: returns `a + b = c ~ d = e`, its result e, and e as a plain sum."""
    a, b, d = (numbers[i] for i in rng.sample(range(4), 3))
    first, second = rng.choice("+~"), rng.choice("+~")
    c = a + b if first == "+" else abs(a - b)
    e = c + d if second == "+" else abs(c - d)
    # c equals `larger sign smaller`.
    larger, smaller = (a, b) if first == "+" or a >= b else (b, a)
    sign, opposite = ("+", "-") if first == "+" else ("-", "+")
    if second == "~" and c < d:
        expression = f"{d} - {larger} {opposite} {smaller}"
    else:
        expression = f"{larger} {sign} {smaller} {'+' if second == '+' else '-'} {d}"
    return f"{a} {first} {b} = {c} {second} {d} = {e}", e, expression
