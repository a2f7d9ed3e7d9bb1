"""The contract of a generator: problems drawn from (seed, split, index), their chains, and a check of answers.

Texts are words separated by single spaces; vocabulary.py lists them, one token each.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from random import Random
from typing import ClassVar, Generic, Literal, NamedTuple, Self, TypeVar

from hyperscale.grading.final import answer_of

Split = Literal["train", "test"]

TEST_SEED = 999
"""Seed of the test set, the same for every sweep."""

_TEST_SHARE = 50
_MOST_REPEATS = 200

P = TypeVar("P", bound="Puzzle")


class Puzzle(ABC):
    """One problem of a generator: immutable, compared by value."""

    stream: ClassVar[str]
    """Key of the generator's random numbers and of the hash that splits its problems. Never change it."""

    most_problems: ClassVar[int] = 10**6
    """Size of the largest fixed set: beyond it new problems are hard to find."""

    @classmethod
    @abstractmethod
    def sample(cls, rng: Random) -> Self | None:
        """Draw a problem of either split, or None where the draw makes no valid one."""

    @property
    @abstractmethod
    def prompt(self) -> str:
        """The prompt."""

    @property
    @abstractmethod
    def gold(self) -> str:
        """The gold, as the task's grader reads it."""

    @property
    @abstractmethod
    def canonical(self) -> tuple[object, ...]:
        """Normal form, equal for problems that differ in wording alone. Its hash decides the split."""

    @property
    @abstractmethod
    def facts(self) -> dict[str, int]:
        """Difficulty: `tokens` of prompt and chain (expected, where the chain is a search), and more."""

    @abstractmethod
    def chain(self, rng: Random, max_tokens: int) -> str:
        """Write a chain to train on, up to `<eos>`.

        A search stops short where prompt and search would exceed `max_tokens`.
        """

    @abstractmethod
    def is_right(self, answer: str) -> bool:
        """Tell whether the words after a chain's last `answer` solve the problem."""

    def solved_by(self, chain: str) -> bool:
        """Tell whether a finished chain ends in a right answer."""
        answer = answer_of(chain)
        return answer is not None and self.is_right(answer)


class Example(NamedTuple, Generic[P]):
    """A problem and a chain to train on."""

    puzzle: P
    chain: str


def puzzle(kind: type[P], seed: int, split: Split, index: int) -> P:
    """Draw problem `index` of a split's endless stream, a pure function of its arguments."""
    return _draw(kind, seed, split, index)[0]


def example(kind: type[P], seed: int, split: Split, index: int, max_tokens: int = 512) -> Example[P]:
    """Draw the same problem with its chain, which continues the problem's random numbers."""
    drawn, rng = _draw(kind, seed, split, index)
    return Example(drawn, drawn.chain(rng, max_tokens))


def fixed_set(kind: type[P], size: int, split: Split = "test") -> dict[int, P]:
    """Draw the first `size` distinct problems of a stream, keyed by index.

    A larger set begins with the smaller. ValueError where the generator has too few distinct problems.
    """
    chosen: dict[int, P] = {}
    seen: set[tuple[object, ...]] = set()
    index = repeats = 0
    while len(chosen) < size:
        drawn = puzzle(kind, TEST_SEED, split, index)
        repeats = repeats + 1 if drawn.canonical in seen else 0
        if repeats > _MOST_REPEATS:
            raise ValueError(
                f"{kind.__name__} has hardly more than {len(seen)} different problems: {size} are too many"
            )
        if not repeats:
            seen.add(drawn.canonical)
            chosen[index] = drawn
        index += 1
    return chosen


def split_of(drawn: Puzzle) -> Split:
    """Assign a problem to its split, whatever seed or index drew it: one in 50 is held out."""
    return "test" if _hash((drawn.stream, *drawn.canonical)) % _TEST_SHARE == 0 else "train"


def random_numbers(*key: object) -> Random:
    """Seed random numbers by the key alone."""
    return Random(_hash(key))


def _draw(kind: type[P], seed: int, split: Split, index: int) -> tuple[P, Random]:
    rng = random_numbers(kind.stream, seed, index, split)
    while True:
        drawn = kind.sample(rng)
        if drawn is not None and split_of(drawn) == split:
            return drawn, rng


def _hash(key: tuple[object, ...]) -> int:
    return int.from_bytes(hashlib.blake2b(repr(key).encode(), digest_size=8).digest(), "big")
