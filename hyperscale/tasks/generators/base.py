"""What a generator gives: problems drawn from (seed, split, index), their chains, and their answers' check.

Texts are words set apart by single spaces; vocabulary.py lists them, one token each.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from random import Random
from typing import Any, ClassVar, Generic, Literal, NamedTuple, Self, TypeVar

from hyperscale.grading.chains import answer_of

Split = Literal["train", "test"]

TEST_SEED = 999
"""The test set's own seed, whatever the seed of a sweep: it is the same for everyone."""

_TEST_SHARE = 50
_MOST_REPEATS = 200

P = TypeVar("P", bound="Puzzle")


class Puzzle(ABC):
    """One problem of a generator. Immutable; equal where its numbers are."""

    stream: ClassVar[str]
    """Names the generator's random numbers, and its problems to the hash that splits them. Never changed."""

    most_problems: ClassVar[int] = 10**6
    """Size of the largest fixed set that can be asked for: beyond it new problems are hard to find."""

    @classmethod
    @abstractmethod
    def sample(cls, rng: Random) -> Self | None:
        """A random problem of either split, or None where the draw does not make one."""

    @property
    @abstractmethod
    def prompt(self) -> str:
        """What the model is shown."""

    @property
    @abstractmethod
    def gold(self) -> str:
        """What the task's grader needs to judge an answer."""

    @property
    @abstractmethod
    def canonical(self) -> tuple[Any, ...]:
        """Equal for problems that are the same but for how they are written. Its hash decides the split."""

    @property
    @abstractmethod
    def facts(self) -> dict[str, int]:
        """How hard it is: `tokens` of prompt and chain (expected, where the chain is a search), and more."""

    @abstractmethod
    def chain(self, rng: Random, max_tokens: int) -> str:
        """A chain as the model is trained on, up to `<eos>`.

        One that is a search stops short where prompt and search would exceed `max_tokens`.
        """

    @abstractmethod
    def is_right(self, answer: str) -> bool:
        """Whether these words, taken from behind a chain's last `answer`, solve it."""

    def solved_by(self, chain: str) -> bool:
        """Whether a chain that ended by itself ends in a right answer."""
        answer = answer_of(chain)
        return answer is not None and self.is_right(answer)


class Example(NamedTuple, Generic[P]):
    """A problem and a chain to learn from."""

    puzzle: P
    chain: str


def puzzle(kind: type[P], seed: int, split: Split, index: int) -> P:
    """Problem `index` of the endless stream of a split. Every argument decides; equal ones give equal problems."""
    return _draw(kind, seed, split, index)[0]


def example(kind: type[P], seed: int, split: Split, index: int, max_tokens: int = 512) -> Example[P]:
    """The same problem with its chain, which goes on with the random numbers that the problem left."""
    drawn, rng = _draw(kind, seed, split, index)
    return Example(drawn, drawn.chain(rng, max_tokens))


def fixed_set(kind: type[P], size: int, split: Split = "test") -> dict[int, P]:
    """The first `size` problems of a stream by their index, none of them twice; of the held-out one if not told.

    A larger set begins with the smaller. ValueError where there are not so many different problems.
    """
    chosen: dict[int, P] = {}
    seen: set[tuple[Any, ...]] = set()
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
    """The split that a problem belongs to, whatever seed or index drew it: one in 50 is held out."""
    return "test" if _hash((drawn.stream, *drawn.canonical)) % _TEST_SHARE == 0 else "train"


def random_numbers(*key: object) -> Random:
    """Random numbers that the key alone decides."""
    return Random(_hash(key))


def _draw(kind: type[P], seed: int, split: Split, index: int) -> tuple[P, Random]:
    rng = random_numbers(kind.stream, seed, index, split)
    while True:
        drawn = kind.sample(rng)
        if drawn is not None and split_of(drawn) == split:
            return drawn, rng


def _hash(key: tuple[object, ...]) -> int:
    return int.from_bytes(hashlib.blake2b(repr(key).encode(), digest_size=8).digest(), "big")
