"""Variable tracking: golds that a slow solver finds by reading the prompt, at any number of chains and hops."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import pytest

from hyperscale.grading import GradeRequest, GradingPool
from hyperscale.tasks.checks import parse_task_options
from hyperscale.tasks.load import LoadedProblems, load_problems, load_task
from hyperscale.tasks.task import Problem

REVISION = "sha256:5c357b8d8aa04b707b1fcfb46c9f0e33c36371fa87c69b8707b81ba87a75c237"
PROMPTS = "6d1a3522423aa2e39fbe32f7898dbc6c7bc52b03ab1e30a6e1e2db8b76d8564d"
"""Results name these: another hash is another set of problems."""

SHAPES: list[dict[str, Any]] = [
    {},
    {"lengths": 200},
    {"chains": 1, "lengths": 50},
    {"chains": 1, "hops": 4, "lengths": 100},
    {"chains": 3, "hops": 2, "lengths": "100,400"},
    {"chains": 40, "hops": 10, "lengths": 3000},
]


def load(**options: Any) -> LoadedProblems:
    given = [("ruler_vt", key, str(value)) for key, value in options.items()]
    return load_problems(load_task("ruler_vt"), task_options=given)


def parts(problem: Problem) -> tuple[str, str, str, str]:
    """(example, its answer, context, question) of a prompt."""
    before, answer, after = re.split(r"\nAnswer: (.*)\n\n", problem.prompt)
    _, context, question = after.split("\n\n")
    return before, answer, context, question


def solve(context: str, question: str) -> set[str]:
    """Variables with the value that the question names: assignments are followed until nothing changes any more."""
    asked = re.search(r"the value (\d+) in", question)
    assert asked is not None
    have = {asked[1]}
    while True:
        found = {
            name for name, source in re.findall(r"^VAR ([A-Z]+) = (?:VAR )?(\w+)$", context, re.M) if source in have
        }
        if found <= have:
            return have - {asked[1]}
        have |= found


def test_the_problems_are_the_same_everywhere() -> None:
    loaded = load(problems=3)
    prompts = "\0".join(problem.prompt for problem in loaded.problems)
    assert hashlib.sha256(prompts.encode()).hexdigest() == PROMPTS
    assert (loaded.dataset_revision, loaded.partial) == (REVISION, False)
    assert [problem.id for problem in loaded.problems] == [f"2200w-40c-0h-{index}" for index in range(3)]
    assert load(chains=2, hops=3, lengths=100, problems=1).dataset_revision == REVISION


@pytest.mark.parametrize("shape", SHAPES)
def test_golds_are_what_following_the_assignments_finds(shape: dict[str, Any]) -> None:
    for problem in load(problems=5, **shape).problems:
        before, answer, context, question = parts(problem)
        assert set(problem.gold.split()) == solve(context, question)
        assert len(problem.gold.split()) == shape.get("hops", 0) + 1
        _, example, asked = before.split("\n\n")
        assert set(answer.split(", ")) == solve(example, asked)


@pytest.mark.parametrize("shape", SHAPES)
def test_texts_have_the_length_the_chains_and_every_assignment_once(shape: dict[str, Any]) -> None:
    chains, hops = shape.get("chains", 40), shape.get("hops", 0)
    for problem in load(problems=3, **shape).problems:
        before, _, context, _ = parts(problem)
        words = int(problem.id.partition("w")[0])
        assert words - 20 < len(context.split()) <= words
        names = re.findall(r"^VAR ([A-Z]{5}) = ", context, re.M)
        values = re.findall(r"= (\d{5})$", context, re.M)
        assert len(set(names)) == len(names) == chains * (hops + 1)
        assert len(set(values)) == len(values) == chains
        assert not set(values) & set(re.findall(r"\d{5}", before)), "the example above has no such value"
        assert len(re.findall(r"^VAR [A-Z]{3} = ", before, re.M)) == len(names)
        assert len({line for line in context.splitlines() if not line.startswith("VAR")}) <= 1


def test_a_variable_is_assigned_before_it_is_copied() -> None:
    for problem in load(chains=5, hops=6, lengths=400, problems=5).problems:
        seen: set[str] = set()
        for line in parts(problem)[2].splitlines():
            if copied := re.fullmatch(r"VAR (\w+) = VAR (\w+)", line):
                assert copied[2] in seen
            if line.startswith("VAR"):
                seen.add(line.split()[1])


def test_a_problem_does_not_depend_on_what_else_is_asked_for() -> None:
    alone = {problem.id: problem for problem in load(lengths=300, problems=3).problems}
    among = {problem.id: problem for problem in load(lengths="200,300", problems=9).problems}
    assert alone.items() <= among.items()
    assert not alone.keys() & {problem.id for problem in load(lengths=300, chains=39).problems}
    assert not alone.keys() & {problem.id for problem in load(lengths=500, hops=1).problems}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lengths=178", "a context of 178 words is too short: chains=40 and hops=0 need 179 at least"),
        ("hops=-1", "--task-option ruler_vt.hops=-1: must be at least 0"),
        ("chains=0", "--task-option ruler_vt.chains=0: must be at least 1"),
        ("hops=1.5", "must be a whole number"),
    ],
)
def test_what_cannot_be_made_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError) as error:
        load_problems(load_task("ruler_vt"), task_options=parse_task_options([text]))
    assert message in str(error.value)
    assert "--task-option ruler_vt" in str(error.value)


def test_too_many_assignments_are_refused() -> None:
    with pytest.raises(ValueError, match="50,500 assignments are more than 5,000: lower chains or hops"):
        load(chains=500, hops=100, lengths=200_000)


def test_only_all_variables_are_right(pool: GradingPool) -> None:
    (problem,) = load(chains=3, hops=2, lengths=200, problems=1).problems
    first, *others = problem.gold.split()
    another = next(name for name in re.findall(r"VAR (\w{5}) =", problem.prompt) if name not in problem.gold)
    texts = [
        f"Answer: {', '.join([first, *others])}",
        f"They are linked.\nAnswer: {' and '.join([*others, first])}",
        f"Answer: {first}",
        f"Answer: {', '.join([first, *others, another])}",
        f"Answer: {', '.join([first, *others])[:-1]}",
    ]
    verdicts = pool.grade([GradeRequest("words", text, problem.gold, True) for text in texts])
    assert [verdict.correct for verdict in verdicts] == [True, True, False, False, False]
