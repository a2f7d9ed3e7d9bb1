"""A sweep over programs, from chains to points: both verdicts are stored, the chosen one counts, and it resumes."""

from __future__ import annotations

import base64
import json
import pickle
import zlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from hyperscale.config import SweepConfig
from hyperscale.plan.resolve import resolve
from hyperscale.sweep.run import Report, sweep
from hyperscale.tasks.load import load_task
from tests import namespaces
from tests.fakes import FakeExecutor, Silent, fake_config, full_chain, no_spec
from tests.folders import table

pytestmark = namespaces.needed

RIGHT = "def add(a, b):\n    return a + b\n"
# Its test's own code holds what it wants to hear.
SPY = (
    "import sys\ndef add(a, b):\n    wanted = sys._getframe(1).f_code.co_consts\n"
    "    return next(c for c in wanted if isinstance(c, int) and c > 40)\n"
)
WRONG = "def add(a, b):\n    return a - b\n"
PROGRAMS = (RIGHT, SPY, WRONG)
TEST = "def check(candidate):\n    assert candidate(40, 2) == 42\n    assert candidate(-1, 43) == 42\n"


class Coder(FakeExecutor):
    """Its first token says which program the chain holds."""

    def text(self, tokens: Sequence[int]) -> tuple[str, list[int]]:
        text = f"```python\n{PROGRAMS[tokens[0] % 3]}```"
        return text, [len(text)] * len(tokens)


@pytest.fixture
def task(tmp_path: Path) -> Path:
    rows = [
        {"task_id": f"p{i}", "prompt": f"def add(a, b):\n    '''Sum {i}.'''\n", "test": TEST, "entry_point": "add"}
        for i in range(4)
    ]
    (tmp_path / "adding.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = tmp_path / "adding.toml"
    path.write_text(
        'name = "adding"\ntitle = "Adding"\nrows = "adding.jsonl"\nadapter = "humaneval"\nprompt = "{problem}"\n'
        'grader = "code"\naggregate = "pass"\n'
    )
    return path


def swept(config: SweepConfig) -> tuple[Report, list[str]]:
    progress = Silent()
    return sweep(resolve(config, no_spec), Coder, progress), progress.messages


@pytest.mark.parametrize("counts", ["strict", "official"])
def test_verdicts_of_both_graders_are_stored_and_one_counts(tmp_path: Path, task: Path, counts: str) -> None:
    out = tmp_path / "out"
    report, _ = swept(fake_config(out, task, grid=((1, 64), (3, 64)), code_grader=counts))
    grades = table(out, "grades")
    assert len(grades) == 4 * 3
    for grade in grades.to_dict("records"):
        program = full_chain(0, "adding", grade["problem_id"], grade["thread"])[0] % 3
        wanted = {0: (True, True), 1: (False, True), 2: (False, False)}[program]
        assert (grade["strict"], grade["official"]) == wanted
        assert grade["graders_differ"] == (wanted[0] != wanted[1])
        assert grade["correct"] == grade[counts]
        assert grade["answer"] == PROGRAMS[program]
    points = report.points.set_index(["width", "length"])
    assert points.loc[(1, 64), "accuracy"] == pytest.approx(grades[counts].mean())
    solved = grades.groupby("problem_id")[counts].any().mean()
    assert points.loc[(3, 64), "accuracy"] == pytest.approx(solved)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["tasks"]["adding"]["identity"]["code_grader"] == counts
    assert manifest["sessions"][0]["sandbox"]["name"] in ("bubblewrap", "namespaces")
    assert "python" in manifest["sessions"][0]["sandbox"]["runtime"]


def test_a_second_sweep_judges_nothing_again_and_another_grader_is_refused(tmp_path: Path, task: Path) -> None:
    config = fake_config(tmp_path / "out", task, grid=((2, 64),))
    first, _ = swept(config)
    before = table(tmp_path / "out", "grades")
    again, _ = swept(config)
    assert again.generated_samples == 0
    assert table(tmp_path / "out", "grades").equals(before)
    assert again.points.equals(first.points)
    with pytest.raises(ValueError, match=r"code_grader: \"strict\" -> \"official\""):
        swept(config.model_copy(update={"code_grader": "official"}))


@pytest.mark.parametrize("begun", [False, True])
def test_tests_that_cannot_be_read_are_told_with_the_problem(tmp_path: Path, begun: bool) -> None:
    """Before anything is made, or where only grading finds it."""
    packed = base64.b64encode(zlib.compress(pickle.dumps([1, 2]))).decode()
    row = {
        "question_id": "q", "question_content": "?", "contest_date": "2024-09-01", "starter_code": "", "metadata": "{}",
        "public_test_cases": "[]", "private_test_cases": packed if begun else "nonsense",
    }  # fmt: skip
    (tmp_path / "test.jsonl").write_text(json.dumps(row))
    config = fake_config(
        tmp_path / "out", Path("livecodebench"), grid=((1, 128),), data=tmp_path,
        task_options=(("", "release", "local"),),
    )  # fmt: skip
    with pytest.raises(ValueError, match="task livecodebench, problem q: private tests cannot be read"):
        swept(config)
    assert (tmp_path / "out").exists() == begun


@pytest.mark.parametrize(
    ("line", "message"),
    [('aggregate = "majority"', "aggregate must be"), ('adapter = ""', "no adapter ''")],
)
def test_a_task_of_code_needs_tests_and_is_not_voted_on(task: Path, line: str, message: str) -> None:
    name = line.split(" ")[0]
    kept = [old for old in task.read_text().splitlines() if not old.startswith(name)]
    task.write_text("\n".join([*kept, line]))
    with pytest.raises(ValueError, match=message):
        load_task(str(task))
