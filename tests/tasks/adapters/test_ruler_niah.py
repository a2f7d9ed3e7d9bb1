"""The needle in a haystack: the same everywhere, one needle in prose of the length asked for, where it is asked for."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from typing import Any

import pytest

from hyperscale.cli.main import run
from hyperscale.grading import gold_normal
from hyperscale.tasks.adapters.essay import essay
from hyperscale.tasks.adapters.ruler_niah import NiahOptions, RulerNiah
from hyperscale.tasks.generators.base import random_numbers
from hyperscale.tasks.load import LoadedProblems, load_problems, load_task

REVISION = "sha256:642697b84a0cf89890e7de261b1fb47597ecf2641aebb5d983680a51a8ebd7c7"
PROMPTS = "3c3e8a4d8ecce5e64083403c2782b39f0ad7a7116c62c694d411730f5d869cd1"
"""Results name these: another hash is another set of problems."""


def load(**options: Any) -> LoadedProblems:
    given = [("ruler_niah", key, str(value)) for key, value in options.items()]
    return load_problems(load_task("ruler_niah"), task_options=given)


def test_the_problems_are_the_same_everywhere() -> None:
    loaded = load(problems=3)
    prompts = "\0".join(problem.prompt for problem in loaded.problems)
    assert hashlib.sha256(prompts.encode()).hexdigest() == PROMPTS
    assert (loaded.dataset_revision, loaded.partial) == (REVISION, False)
    assert [problem.id for problem in loaded.problems] == ["3400w-0", "3400w-1", "3400w-2"]
    assert load(lengths="200,100", problems=2, depth=30).dataset_revision == REVISION


def test_a_problem_does_not_depend_on_what_else_is_asked_for() -> None:
    alone = {problem.id: problem for problem in load(lengths=200, problems=4).problems}
    among = {problem.id: problem for problem in load(lengths="400,200,100,200", problems=7).problems}
    assert list(among)[:4] == ["100w-0", "200w-0", "400w-0", "100w-1"], "a limit keeps all lengths alike"
    assert len(among) == 21
    assert alone.items() <= among.items()


@pytest.mark.parametrize("length", [50, 200, 3400, 20_000])
def test_one_needle_with_the_key_in_a_haystack_of_the_length(length: int) -> None:
    for problem in load(lengths=length, problems=5).problems:
        haystack, question = context(problem.prompt)
        found = re.search(r"What is the special magic number for ([a-z]+-[a-z]+) that", question)
        assert found is not None
        assert re.findall(rf"for {found[1]} is: (\d+)\.", haystack) == [problem.gold]
        assert haystack.count("magic") == haystack.count(found[1]) == haystack.count("-") == 1
        assert re.findall(r"\d+", haystack) == [problem.gold]
        assert re.fullmatch("[1-9][0-9]{6}", gold_normal("words", problem.gold))
        assert length - 35 < len(haystack.split()) <= length


def context(prompt: str) -> tuple[str, str]:
    _, haystack, question = prompt.split("\n\n")
    return haystack, question


def depth_of(prompt: str) -> float:
    """Words before the needle, as a share of those around it."""
    before, _, after = context(prompt)[0].partition("One of the special")
    return len(before.split()) / len((before + after.partition(".")[2]).split())


def test_a_depth_moves_the_needle_and_nothing_else() -> None:
    uniform = load(problems=4).problems
    for depth in (0, 37, 100):
        for problem, other in zip(load(problems=4, depth=depth).problems, uniform, strict=True):
            assert abs(depth_of(problem.prompt) - depth / 100) < 0.01
            assert problem.gold == other.gold
            assert Counter(problem.prompt.split()) == Counter(other.prompt.split())
    assert load(problems=1, depth=37).problems[0].id == "3400w-depth37-0"


def test_without_a_depth_needles_lie_everywhere() -> None:
    depths = [depth_of(problem.prompt) for problem in load(lengths=1000, problems=200).problems]
    quarters = Counter(min(int(depth * 4), 3) for depth in depths)
    assert all(30 < quarters[quarter] < 70 for quarter in range(4))


def test_keys_and_numbers_differ_from_problem_to_problem() -> None:
    problems = load(lengths=50, problems=300).problems
    assert len({problem.gold for problem in problems}) == 300
    assert len({context(problem.prompt)[1] for problem in problems}) > 280


def test_an_essay_says_nothing_twice() -> None:
    sentences = essay(random_numbers("test"), 20_000)
    assert len(set(sentences)) == len(sentences) > 1000
    assert len({sentence.split()[0] for sentence in sentences}) > 30
    for sentence in sentences:
        assert re.fullmatch(r"[A-Z][A-Za-z, ]+\.", sentence), sentence


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("lengths=49", "lengths=49: must be a comma list of words of a context, each from 50 to 200,000"),
        ("lengths=100,", "must be a comma list"),
        ("lengths=", "must be a comma list"),
        ("lengths=1k", "must be a comma list"),
        ("lengths=200001", "must be a comma list"),
        ("problems=0", "problems=0: must be at least 1"),
        ("depth=101", "depth=101: must be uniform, or a whole percentage from 0"),
        ("depth=half", "depth=half: must be uniform"),
        ("depht=3", "did you mean 'depth'?"),
    ],
)
def test_a_bad_option_is_told_in_one_line(capsys: pytest.CaptureFixture[str], option: str, message: str) -> None:
    arguments = ["plan", "--model", "tiny", "--tasks", "ruler_niah", "--widths", "1", "--lengths", "512"]
    assert run([*arguments, "--task-option", option]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: --task-option ")
    assert message in err
    assert err.count("\n") == 1


def test_a_plan_counts_them(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["plan", "--model", "tiny", "--tasks", "ruler_niah", "--widths", "1", "--lengths", "512"]
    options = ["--task-option", "lengths=200,300", "--task-option", "ruler_niah.problems=7"]
    assert run([*arguments, *options]) == 0
    assert "ruler_niah: 14 problems" in capsys.readouterr().out


def test_options_may_be_written_as_toml_does() -> None:
    assert NiahOptions.model_validate({"lengths": [300, 100], "depth": 5}).lengths == (100, 300)
    assert NiahOptions.model_validate({"lengths": 300}).lengths == (300,)
    assert RulerNiah.generates
