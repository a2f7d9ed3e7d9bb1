"""What holds for every generator: streams that arguments alone decide, and splits that cannot overlap."""

from __future__ import annotations

from random import Random
from typing import Any, Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperscale.grading.final import answer_of
from hyperscale.tasks.generators import GENERATORS, Puzzle, Split, example, fixed_set, puzzle, split_of
from tests.tasks.generators.prototype import records

KINDS = sorted(GENERATORS)
SPLITS: tuple[Split, ...] = ("train", "test")


@pytest.mark.parametrize("record", records("countdown", "trace"))
def test_problems_and_chains_are_those_of_the_prototype(record: dict[str, Any]) -> None:
    made = example(GENERATORS[record["kind"]], record["seed"], record["split"], record["index"])
    assert (made.puzzle.prompt, made.chain) == (record["prompt"], record["chain"])
    assert made.puzzle.solved_by(made.chain) is made.chain.endswith(" <eos>")
    assert puzzle(GENERATORS[record["kind"]], record["seed"], record["split"], record["index"]) == made.puzzle


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 2**32), index=st.integers(0, 2**40))
@settings(max_examples=20, deadline=None)
def test_every_problem_of_a_stream_belongs_to_its_split(kind: str, seed: int, index: int) -> None:
    for split in SPLITS:
        assert split_of(puzzle(GENERATORS[kind], seed, split, index)) == split


@pytest.mark.parametrize("kind", KINDS)
def test_the_test_set_shares_no_problem_with_a_long_stretch_of_training(kind: str) -> None:
    held_out = {drawn.canonical for drawn in fixed_set(GENERATORS[kind], 200).values()}
    trained = {puzzle(GENERATORS[kind], seed, "train", index).canonical for seed in (0, 999) for index in range(1000)}
    assert not held_out & trained


@pytest.mark.parametrize("kind", KINDS)
def test_one_problem_in_fifty_is_held_out(kind: str) -> None:
    rng = Random(0)
    drawn = [found for _ in range(10_000) if (found := GENERATORS[kind].sample(rng)) is not None]
    assert 0.015 < sum(split_of(found) == "test" for found in drawn) / len(drawn) < 0.025


@pytest.mark.parametrize("kind", KINDS)
def test_the_test_set_is_fixed_has_no_problem_twice_and_grows_at_its_end(kind: str) -> None:
    small, large = fixed_set(GENERATORS[kind], 50), fixed_set(GENERATORS[kind], 300)
    assert dict(list(large.items())[:50]) == small
    assert len({drawn.canonical for drawn in large.values()}) == len(large) == 300
    assert list(large) == sorted(large)


@pytest.mark.parametrize("kind", KINDS)
def test_seed_split_and_index_all_count(kind: str) -> None:
    drawn = [
        puzzle(GENERATORS[kind], seed, split, index) for seed in range(3) for split in SPLITS for index in range(10)
    ]
    assert len(set(drawn)) == len(drawn)


class Coin(Puzzle):
    """A generator with two problems."""

    stream = "coin"

    def __init__(self, side: int) -> None:
        self.side = side

    @classmethod
    def sample(cls, rng: Random) -> Self:
        return cls(rng.randrange(2))

    prompt = gold = property(lambda self: str(self.side))
    canonical = property(lambda self: (self.side,))
    facts = property(lambda self: {})

    def chain(self, rng: Random, max_tokens: int) -> str:
        return f"answer {self.side}"

    def is_right(self, answer: str) -> bool:
        return answer == self.gold


def test_more_problems_than_there_are_is_refused() -> None:
    assert len(fixed_set(Coin, 2, "train")) == 2
    with pytest.raises(ValueError, match="Coin has hardly more than 2 different problems: 3 are too many"):
        fixed_set(Coin, 3, "train")


@pytest.mark.parametrize(
    ("chain", "answer"),
    [
        ("1 2 answer 3 <eos>", "3"),
        ("answer 3", "3"),
        ("answer  3 +\n4 ", "3 + 4"),
        ("answer 3 answer 4", "4"),
        ("answer 3 answer", None),
        ("answer <eos>", None),
        ("answer", None),
        ("answer3", None),
        ("noanswer 3", None),
        ("answer 3 <eos> 4", "3 <eos> 4"),
        ("answer " + "3 " * 60, None),
        ("", None),
    ],
)
def test_the_answer_stands_between_the_last_mark_and_the_end(chain: str, answer: str | None) -> None:
    assert answer_of(chain) == answer
