"""HumanEval's rows."""

from __future__ import annotations

import json

import pytest

from hyperscale.grading.code import Check, parse_gold
from hyperscale.tasks.load import load_problems, load_task
from tests.shared_data import shared_rows

ROW = {
    "task_id": "HumanEval/x",
    "prompt": "def add(a, b):\n    '''Add.'''\n",
    "canonical_solution": "    return a + b\n",
    "test": "def check(candidate):\n    assert candidate(1, 2) == 3\n",
    "entry_point": "add",
}


def test_a_problem_is_the_head_and_its_test(tmp_path):
    (tmp_path / "test.jsonl").write_text(json.dumps(ROW))
    (problem,) = load_problems(load_task("humaneval"), data=tmp_path).problems
    assert problem.id == "HumanEval/x"
    assert problem.prompt.endswith("```python\ndef add(a, b):\n    '''Add.'''\n```")
    assert parse_gold(problem.gold) == Check(prompt=ROW["prompt"], test=ROW["test"], function="add")


@pytest.mark.parametrize("column", ["task_id", "prompt", "test", "entry_point"])
def test_a_missing_column_is_told(tmp_path, column):
    (tmp_path / "test.jsonl").write_text(json.dumps({key: value for key, value in ROW.items() if key != column}))
    with pytest.raises(ValueError, match=f"row 0: column '{column}' is missing or empty"):
        load_problems(load_task("humaneval"), data=tmp_path)


def test_real_rows_load():
    path = shared_rows("humaneval/test.jsonl")
    if path is None:
        pytest.skip("benchmark rows are not part of the project")
    assert len(load_problems(load_task("humaneval"), data=path.parents[1]).problems) == 164
