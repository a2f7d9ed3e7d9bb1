"""Graders of one's own: in a file beside the task, or in an installed package; what a results folder keeps of them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from hyperscale.grading import GRADERS, load_grader
from hyperscale.grading.base import GraderRef
from hyperscale.grading.registry import pinned
from hyperscale.tasks.load import load_task
from tests.fakes import fake_config, run_fake, write_task
from tests.folders import table

LAST = '''
from hyperscale.grading import NOTHING, Extraction, Grader

class Last(Grader):
    """The last digit of the text, in any language: `equal` says that 1 is one."""

    name = "last"
    compares = True

    def extract(self, text, *, finished):
        digits = [char for char in text if char.isdigit()]
        return Extraction(digits[-1], digits[-1]) if digits else NOTHING

    def normal(self, answer):
        return answer or None

    def equal(self, gold, answer):
        return gold == {"1": "one"}.get(answer, answer)
'''


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """A task whose grader lies beside it; its golds are words."""
    path = write_task(tmp_path / "tasks")
    (path.parent / "last.py").write_text(LAST)
    rows = path.with_suffix(".jsonl")
    rows.write_text(rows.read_text().replace('"answer": "1"', '"answer": "one"'))
    change(path, '"integer"', '"last.py:Last"')
    return path


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def identity(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())["tasks"]["toy"]["identity"]


def test_a_grader_beside_its_task_judges_in_the_workers_and_is_part_of_the_identity(tmp_path: Path, task: Path) -> None:
    config = fake_config(tmp_path / "out", task, limit=2)
    run_fake(config)
    grades = table(tmp_path / "out", "grades")
    answered = grades[grades["answer"].notna()]
    assert set(answered["answer"]) > {"1"}
    assert (answered["correct"] == (answered["answer"] == "1")).all()
    assert grades["flag"].isna().all()
    kept = identity(tmp_path / "out")
    digest = hashlib.sha256(LAST.encode()).hexdigest()
    assert kept["grader"] == "last.py:Last"
    assert kept["grader_origin"] == {"name": "last.py:Last", "package": None, "version": None, "sha256": digest}
    (task.parent / "last.py").write_text(LAST + "# changed\n")
    with pytest.raises(ValueError, match=r"grader_origin\.sha256"):
        run_fake(config)


def test_a_pattern_is_part_of_the_identity_where_there_is_one(tmp_path: Path) -> None:
    path = write_task(tmp_path / "tasks")
    run_fake(fake_config(tmp_path / "plain", path, limit=1))
    assert not {"grader_pattern", "grader_origin"} & identity(tmp_path / "plain").keys()
    change(path, 'grader = "integer"', 'grader = "regex"\ngrader_pattern = "boxed.([0-9])"\naggregate = "mean"')
    change(path, '\naggregate = "majority"', "")
    config = fake_config(tmp_path / "out", path, limit=2)
    points = run_fake(config).points
    grades = table(tmp_path / "out", "grades")
    assert set(grades["answer"].dropna()) == {"0", "1", "2"}
    assert identity(tmp_path / "out")["grader_pattern"] == "boxed.([0-9])"
    assert set(points["aggregate"]) == {"mean"}
    whole = points[points["length"] == 32].set_index("width")["accuracy"]
    assert whole[1] == pytest.approx(whole[2])
    assert 0 < whole[1] < 1
    change(path, "[0-9]", "[0-8]")
    with pytest.raises(ValueError, match="grader_pattern"):
        run_fake(config)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("last.py:Last", "numbr", "unknown grader 'numbr'; did you mean 'number'"),
        ("last.py:Last", "other.py:Last", "there is no file .*other.py"),
        ("last.py:Last", "last.py:Lost", "defines no 'Lost'"),
        ("last.py:Last", "last.py:Extraction", "it must be a subclass of hyperscale.grading.Grader"),
        ("last.py:Last", "last.py:Grader", "it must be a subclass of hyperscale.grading.Grader that is not abstract"),
        ("last.py:Last", "last.py", "say which of the file's names"),
        ("last.py:Last", "regex", "needs a pattern: give grader_pattern"),
        ('last.py:Last"', 'regex"\ngrader_pattern = "("', "is not a regular expression"),
        ('last.py:Last"', 'last.py:Last"\ngrader_pattern = "x"', "takes no pattern"),
        ('"majority"', '"median"', "unknown aggregate 'median'; did you mean 'mean'"),
    ],
)
def test_a_task_file_with_a_wrong_grader_or_aggregate_is_refused(task: Path, old: str, new: str, message: str) -> None:
    change(task, old, new)
    with pytest.raises(ValueError, match=message) as error:
        load_task(str(task))
    assert str(error.value).startswith(str(task))
    assert "\n" not in str(error.value)


def test_programs_are_judged_by_code_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from hyperscale.grading.code import Code\nclass Mine(Code):\n    name = 'mine'\n"
    )
    with pytest.raises(ValueError, match="programs are judged by the grader code alone"):
        load_grader(f"{tmp_path}/mine.py:Mine")


def test_a_package_s_grader_is_found_and_an_object_is_taken_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "last_grader.py").write_text(f"{LAST}\nMADE = Last()\n")
    info = tmp_path / "lastly-2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lastly\nVersion: 2.0\n")
    (info / "entry_points.txt").write_text(
        "[hyperscale.graders]\nlast = last_grader:Last\nmade = last_grader:MADE\nmath = last_grader:Last\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert GRADERS.names()[-2:] == ["last", "made"]
    assert load_grader("last").extract("a1b2", finished=True).answer == "2"
    assert load_grader("made") is load_grader("made")
    assert load_grader("math").name == "math"
    origin = GRADERS.origin("made")
    assert origin is not None
    assert (origin.package, origin.version) == ("lastly", "2.0")


@pytest.mark.parametrize("name", GRADERS.names())
def test_built_ins_go_by_their_own_names(name: str) -> None:
    assert getattr(GRADERS.load(name), "name", None) == name


def test_a_grader_that_is_edited_while_a_sweep_runs_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("from hyperscale.grading.exact import Exact\n\nclass Mine(Exact):\n    name = 'mine'\n")
    grader = pinned(GraderRef(f"{file}:Mine"))
    assert load_grader(grader).name == "mine"
    file.write_text(file.read_text() + "# Edited.\n")
    with pytest.raises(ValueError, match="was edited while the sweep ran"):
        load_grader(grader)
    assert pinned(GraderRef("exact")) == GraderRef("exact")
