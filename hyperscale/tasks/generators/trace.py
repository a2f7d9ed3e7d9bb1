"""Trace: follow a variable through shuffled definitions. The chain reads each line once, at an unknown time.

    trace : k= d +3 ; h= # +5 ; d= h +4 ? 42 + d :
    42 0 d= h +4 : 43 3 44 2 45 1 46 0 h= # +5 : 47 4 48 3 49 2 50 1 51 0 answer 51 <eos>

`d= h +4`: d is h plus 4. `#` ends the list. The chain counts up by one beside a count-down, so that sums are easy and
each hop takes long: the definition to look up is old by then. Sums are modulo 100.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import ClassVar, Self

from hyperscale.grading.final import ANSWER, END
from hyperscale.tasks.generators.base import Puzzle, random_numbers
from hyperscale.tasks.generators.vocabulary import NAMES

HOPS = (2, 16)
DISTRACTORS = (2, 8)
CONSTANTS = (3, 15)
LAST = "#"
_MODULUS = 100


@dataclass(frozen=True)
class Trace(Puzzle):
    """A linked list of variables: `names[i]` is `names[i + 1]` plus `constants[i]`, the last is its constant.

    The question enters it `hops` before the end; the variables before are distractors.
    """

    stream: ClassVar[str] = "tr"

    names: tuple[str, ...]
    constants: tuple[int, ...]
    hops: int
    start: int
    order: tuple[int, ...]
    """Definition i of the prompt defines `names[order[i]]`."""

    @classmethod
    def sample(cls, rng: Random) -> Self | None:
        """Draw 2 to 16 hops and 2 to 8 distractors, uniformly."""
        hops = rng.randint(*HOPS)
        count = hops + rng.randint(*DISTRACTORS)
        if count > len(NAMES):
            return None
        names = rng.sample(NAMES, count)
        constants = [rng.randint(*CONSTANTS) for _ in names]
        order = list(range(count))
        rng.shuffle(order)
        return cls(tuple(names), tuple(constants), hops, rng.randrange(_MODULUS), tuple(order))

    @property
    def prompt(self) -> str:
        """Shuffled definitions, then the question."""
        lines = definitions(self.names, self.constants)
        shuffled = " ; ".join(lines[i] for i in self.order)
        return f"trace : {shuffled} ? {self.start} + {self.names[-self.hops]} :"

    @property
    def gold(self) -> str:
        """The number at the end of the chain."""
        return str((self.start + sum(self.constants[-self.hops :])) % _MODULUS)

    @property
    def canonical(self) -> tuple[object, ...]:
        """All but the order of the definitions."""
        return self.names, self.constants, self.hops, self.start

    @property
    def facts(self) -> dict[str, int]:
        """Hops, variables (distractors included) and tokens (exact)."""
        counted = sum(self.constants[-self.hops :])
        prompt = len(self.prompt.split())
        return {"hops": self.hops, "variables": len(self.names), "tokens": prompt + 5 + 4 * self.hops + 2 * counted}

    def chain(self, rng: Random, max_tokens: int) -> str:
        """Write the only chain; it never stops short (with its prompt 260 tokens on average, 651 at most)."""
        value = self.start
        parts = [f"{value} 0"]
        lines = definitions(self.names, self.constants)
        for line, constant in zip(lines[-self.hops :], self.constants[-self.hops :], strict=True):
            parts.append(f"{line} :")
            for left in reversed(range(constant)):
                value = (value + 1) % _MODULUS
                parts.append(f"{value} {left}")
        return " ".join([*parts, f"{ANSWER} {value} {END}"])

    def is_right(self, answer: str) -> bool:
        """Tell whether the answer is the gold and nothing else."""
        return answer == self.gold


def definitions(names: Sequence[str], constants: Sequence[int]) -> list[str]:
    """Write `c= f +3` for each variable of a linked list."""
    followers = [*names[1:], LAST]
    return [f"{name}= {of} +{by}" for name, of, by in zip(names, followers, constants, strict=True)]


def recall(seed: int, index: int, pairs: tuple[int, int] = (2, 24)) -> tuple[str, str]:
    """Draw a text to train on, as prompt and chain: definitions in one order, then all of them in another.

    It is not a task, so nothing is held out: dense practice of the look-ups that a trace makes one by one.
    """
    rng = random_numbers("rc", seed, index, "train")
    count = rng.randint(*pairs)
    names = rng.sample(NAMES, count)
    lines = definitions(names, [rng.randint(*CONSTANTS) for _ in names])
    told, asked = lines[:], lines[:]
    rng.shuffle(told)
    rng.shuffle(asked)
    return f"recall : {' ; '.join(told)} ?", f"{' ; '.join(asked)} {END}"
