"""Variable tracking (RULER's vt): name the variables that have a value, through chains of assignments in noise."""

from __future__ import annotations

from collections.abc import Collection
from itertools import pairwise
from random import Random
from string import ascii_uppercase
from typing import ClassVar, NamedTuple

from pydantic import Field, model_validator

from hyperscale.tasks.adapters.base import Question
from hyperscale.tasks.adapters.ruler import Lengths, Ruler, RulerOptions
from hyperscale.tasks.generators.base import random_numbers

_NOISE = "The bread is warm. The road is long. The lake is deep. Off we go. Out and home again."
_NOISE_WORDS = len(_NOISE.split())
_VALUES = range(10_000, 100_000)
_MOST_ASSIGNMENTS = 5_000
_EXAMPLE_NOISE = 5
_EXAMPLE_LETTERS, _LETTERS = 3, 5
_TASK = "Memorize the following text and track the variable assignments hidden in it."


class VtOptions(RulerOptions, frozen=True):
    """Number and length of the chains, beside the options of all RULER tasks."""

    lengths: Lengths = Field(default=(2200,), description="words of the context; a comma list")
    chains: int = Field(default=40, ge=1, le=1_000, description="chains of assignments, each with a value of its own")
    hops: int = Field(default=0, ge=0, le=100, description="assignments of a chain that copy the variable before")

    @model_validator(mode="after")
    def _fit(self) -> VtOptions:
        assignments = self.chains * (self.hops + 1)
        if assignments > _MOST_ASSIGNMENTS:
            raise ValueError(f"{assignments:,} assignments are more than {_MOST_ASSIGNMENTS:,}: lower chains or hops")
        least = 4 * self.chains + 5 * self.chains * self.hops + _NOISE_WORDS
        if self.lengths[0] < least:
            raise ValueError(
                f"a context of {self.lengths[0]} words is too short: "
                f"chains={self.chains} and hops={self.hops} need {least} at least"
            )
        return self


class Tracking(NamedTuple):
    """One text with its question, and the variables that answer it, in the order of their assignment."""

    context: str
    question: str
    variables: tuple[str, ...]
    values: tuple[int, ...]


class RulerVt(Ruler):
    """RULER's variable tracking, after a worked example with shorter names: one for all problems of equal options."""

    Options: ClassVar[type[RulerOptions]] = VtOptions

    @classmethod
    def make(cls, options: VtOptions, length: int, index: int) -> Question:
        """Make problem `index`; its `length` words do not count example, instruction and question."""
        chains, hops = options.chains, options.hops
        rng = random_numbers("ruler_vt example", chains, hops)
        example = _track(rng, chains, hops, letters=_EXAMPLE_LETTERS)
        rng = random_numbers("ruler_vt", length, chains, hops, index)
        asked = _track(rng, chains, hops, letters=_LETTERS, words=length, not_values=example.values)
        text = (
            f"{_TASK}\n\n{example.context}\n\n{example.question}\nAnswer: {', '.join(example.variables)}\n\n"
            f"{_TASK}\n\n{asked.context}\n\n{asked.question}"
        )
        return Question(f"{length}w-{chains}c-{hops}h-{index}", text, " ".join(asked.variables))


def _track(
    rng: Random, chains: int, hops: int, *, letters: int, words: int | None = None, not_values: Collection[int] = ()
) -> Tracking:
    """Make a text of at most `words` words (None: with a little noise) that asks for its first chain."""
    names = _names(rng, chains * (hops + 1), letters)
    drawn = rng.sample(_VALUES, chains + len(not_values))
    values = [value for value in drawn if value not in not_values][:chains]
    statements = []
    for chain, value in enumerate(values):
        first, *_ = own = names[chain * (hops + 1) : (chain + 1) * (hops + 1)]
        statements.append([f"VAR {first} = {value}", *(f"VAR {new} = VAR {old}" for old, new in pairwise(own))])
    taken = sum(len(line.split()) for chain in statements for line in chain)
    noise = _EXAMPLE_NOISE if words is None else (words - taken) // _NOISE_WORDS
    # Shuffle turns (None: noise), not lines, so that each chain's lines keep their order.
    turns = [None] * noise + [chain for chain in range(chains) for _ in range(hops + 1)]
    rng.shuffle(turns)
    waiting = [iter(chain) for chain in statements]
    context = "\n".join(_NOISE if turn is None else next(waiting[turn]) for turn in turns)
    return Tracking(context, _question(values[0], hops + 1), tuple(names[: hops + 1]), tuple(values))


def _names(rng: Random, count: int, letters: int) -> list[str]:
    names: dict[str, None] = {}
    while len(names) < count:
        name = "".join(rng.choice(ascii_uppercase) for _ in range(letters))
        if name != "VAR":
            names[name] = None
    return list(names)


def _question(value: int, variables: int) -> str:
    if variables == 1:
        return f"Question: Which variable is assigned the value {value} in the text above?"
    return (
        f"Question: Which {variables} variables are assigned the value {value} in the text above, "
        "directly or through other variables?"
    )
