"""The generated tasks as tasks: what a sweep loads, and what it records of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from hyperscale.cli.show_plan import count_problems
from hyperscale.grading import gold_normal
from hyperscale.plan.preflight import load_tasks
from hyperscale.tasks.generators import GENERATORS, puzzle
from hyperscale.tasks.load import load_problems, load_task
from tests.test_config import make

ROWS = {
    "countdown": "sha256:2a53b6948b553ec32a43de91242b33ff16b6cf73f3383ec56a23879bd5bcbf96",
    "trace": "sha256:6b981f012135071ffa9849c1a0b4403143c360a65b1144b3a22aadf07ef9eb71",
}
"""Results name these: another hash is another test set."""


@pytest.mark.parametrize(("name", "revision"), ROWS.items())
def test_the_problems_are_the_same_everywhere(name: str, revision: str, tmp_path: Path) -> None:
    task = load_task(name)
    loaded = load_problems(task)
    assert (len(loaded.problems), loaded.dataset_revision, loaded.partial) == (200, revision, False)
    assert len({problem.prompt for problem in loaded.problems}) == 200
    assert load_problems(task, data=tmp_path, seed=7) == loaded, "neither a data folder nor the sweep's seed counts"
    for problem in loaded.problems:
        gold_normal(task.grader, problem.gold)
        drawn = puzzle(GENERATORS[name], 999, "test", int(problem.id))
        assert (problem.prompt, problem.gold) == (drawn.prompt, drawn.gold)


def test_problems_can_be_chosen_and_limited() -> None:
    chosen = load_problems(load_task("trace"), problem_ids=["0", "3", "7"], limit=2)
    assert ([problem.id for problem in chosen.problems], chosen.partial) == (["0", "3"], True)
    assert chosen.dataset_revision == ROWS["trace"], "the hash is that of all rows"
    with pytest.raises(ValueError, match="task trace has no problem 'x'"):
        load_problems(load_task("trace"), problem_ids=["x"])


def test_fewer_problems_of_a_generator_are_no_part_of_a_whole() -> None:
    fewer = load_problems(load_task("trace"), limit=2)
    assert (len(fewer.problems), fewer.partial) == (2, False)


def test_a_sweep_takes_both_and_a_plan_counts_them() -> None:
    config = make(tasks=("countdown", "trace"), limit=3, grid=((1, 128),))
    assert [len(loaded.problems.problems) for loaded in load_tasks(config)] == [3, 3]
    assert count_problems(config) == {"countdown": 3, "trace": 3}
    assert count_problems(make(tasks=("countdown", "trace"))) == {"countdown": 200, "trace": 200}


def test_a_grid_in_which_nothing_can_be_solved_is_refused() -> None:
    with pytest.raises(ValueError, match=r"task trace cannot be solved below L = 128 .* largest L of the grid is 64"):
        load_tasks(make(tasks=("countdown", "trace"), grid=((1, 64),)))


def test_a_task_of_ones_own_can_be_generated(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'name = "mine"\ntitle = "Mine"\ngenerator = "trace"\nproblems = 5\nsplit = "train"\ngrader = "number"\n'
        'aggregate = "majority"\nprompt = "Q: {problem}"\n[columns]\nproblem = "problem"\nanswer = "answer"\n'
    )
    problems = load_problems(load_task(str(path))).problems
    assert [problem.prompt for problem in problems] == [
        f"Q: {puzzle(GENERATORS['trace'], 999, 'train', index).prompt}" for index in range(5)
    ]
