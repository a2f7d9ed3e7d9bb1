from __future__ import annotations

import re
from random import Random
from statistics import mean
from typing import Any

import pytest

from hyperscale.grading import GradeRequest, GradingPool
from hyperscale.tasks.generators import example, fixed_set, puzzle
from hyperscale.tasks.generators.trace import Trace, recall
from tests.tasks.generators.prototype import records

PROBLEM = Trace(("k", "d", "h"), (3, 4, 5), hops=2, start=42, order=(0, 2, 1))
CHAIN = "42 0 d= h +4 : 43 3 44 2 45 1 46 0 h= # +5 : 47 4 48 3 49 2 50 1 51 0 answer 51 <eos>"


def follow(prompt: str) -> tuple[int, int]:
    """Answer and hops, read off the prompt."""
    lines, _, question = prompt.removeprefix("trace : ").partition(" ? ")
    found = {line[0]: line.split()[1:] for line in lines.split(" ; ")}
    asked = re.fullmatch(r"(\d+) \+ ([a-z]) :", question)
    assert asked is not None
    value, name, hops = int(asked[1]), asked[2], 0
    while name != "#":
        name, constant = found[name]
        value, hops = value + int(constant), hops + 1
    return value % 100, hops


def test_a_small_one_by_hand() -> None:
    assert PROBLEM.prompt == "trace : k= d +3 ; h= # +5 ; d= h +4 ? 42 + d :"
    assert PROBLEM.chain(Random(), 0) == CHAIN
    assert PROBLEM.gold == "51"


@pytest.mark.parametrize("index", range(40))
def test_the_answer_is_what_following_the_definitions_gives(index: int) -> None:
    problem, chain = example(Trace, 3, "test", index)
    assert follow(problem.prompt) == (int(problem.gold), problem.facts["hops"])
    assert len(problem.prompt.split()) + len(chain.split()) == problem.facts["tokens"]
    assert chain.endswith(f" answer {problem.gold} <eos>")
    keys = re.findall(r"[a-z]= [a-z#] \+\d+(?= :)", chain)
    assert len(keys) == problem.facts["hops"]
    assert all(key in problem.prompt for key in keys)
    assert 2 <= problem.facts["variables"] - problem.facts["hops"] <= 8


def test_the_test_set_reaches_from_two_to_sixteen_hops_and_takes_all_lengths() -> None:
    facts = [drawn.facts for drawn in fixed_set(Trace, 200).values()]
    assert {fact["hops"] for fact in facts} == set(range(2, 17))
    assert 240 < mean(fact["tokens"] for fact in facts) < 280


def test_the_order_of_the_definitions_does_not_change_the_split() -> None:
    problem = puzzle(Trace, 0, "test", 5)
    turned = Trace(problem.names, problem.constants, problem.hops, problem.start, problem.order[::-1])
    assert turned.prompt != problem.prompt
    assert turned.canonical == problem.canonical


@pytest.mark.parametrize(
    ("chain", "right"),
    [(CHAIN, True), ("answer 51", True), ("answer 52", False), ("answer 51 51", False), ("51", False)],
)
def test_only_the_number_itself_is_right(chain: str, right: bool) -> None:
    assert PROBLEM.solved_by(chain) is right


@pytest.mark.parametrize("record", records("trace")[:4])
def test_the_task_s_grader_reads_a_chain_that_ended_and_none_that_was_cut(record: dict[str, Any]) -> None:
    problem = puzzle(Trace, record["seed"], record["split"], record["index"])
    words = record["chain"].removesuffix(" <eos>").split()
    cuts = [GradeRequest("number", " ".join(words[:end]), problem.gold, False) for end in range(len(words) + 1)]
    with GradingPool() as pool:
        *cut, whole = pool.grade([*cuts, GradeRequest("number", " ".join(words), problem.gold, True)])
    assert (whole.answer, whole.normal, whole.correct) == (problem.gold, problem.gold, True)
    assert {verdict.answer for verdict in cut} == {None}


@pytest.mark.parametrize("record", records("recall"))
def test_recall_is_that_of_the_prototype_and_asks_for_every_line(record: dict[str, Any]) -> None:
    prompt, chain = recall(record["seed"], record["index"])
    assert (prompt, chain) == (record["prompt"], record["chain"])
    told = prompt.removeprefix("recall : ").removesuffix(" ?").split(" ; ")
    assert sorted(chain.removesuffix(" <eos>").split(" ; ")) == sorted(told)
