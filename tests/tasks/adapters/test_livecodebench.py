"""LiveCodeBench's rows: which files a release is, which dates a window holds, what a problem becomes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hyperscale.cli.main import run
from hyperscale.grading.code import Cases, parse_gold
from hyperscale.tasks.adapters.livecodebench import LiveCodeBenchOptions, file_names
from hyperscale.tasks.load import LoadedProblems, load_problems, load_task
from tests.shared_data import shared_rows

DATES = ("2024-07-31", "2024-08-01", "2024-11-30", "2025-01-31", "2025-02-01")


def row(name: str, date: str, **more: Any) -> dict[str, Any]:
    tests = json.dumps([{"input": "1 2", "output": "3", "testtype": "stdin"}])
    given = {"question_id": name, "question_content": f"Add {name}.", "contest_date": f"{date}T00:00:00"}
    given |= {"starter_code": "", "metadata": "{}", "public_test_cases": tests, "private_test_cases": "[]"}
    return given | more


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Five files with one problem of each date."""
    for number in range(1, 6):
        name = "test.jsonl" if number == 1 else f"test{number}.jsonl"
        lines = [json.dumps(row(f"{number}-{date}", date)) for date in DATES]
        path = tmp_path / "livecodebench" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(lines) + "\n")
    return tmp_path


def load(data: Path, **options: str) -> LoadedProblems:
    given = tuple(("livecodebench", key, value) for key, value in options.items())
    return load_problems(load_task("livecodebench"), data=data, task_options=given)


def ids(data: Path, **options: str) -> list[str]:
    return [problem.id for problem in load(data, **options).problems]


@pytest.mark.parametrize(
    ("release", "files"),
    [
        ("release_v1", ["test.jsonl"]),
        ("release_v3", ["test.jsonl", "test2.jsonl", "test3.jsonl"]),
        ("v1", ["test.jsonl"]),
        ("v5", ["test5.jsonl"]),
        ("v4_v6", ["test4.jsonl", "test5.jsonl", "test6.jsonl"]),
        ("v2_v2", ["test2.jsonl"]),
    ],
)
def test_the_files_of_a_release(release, files):
    assert file_names(release) == files


@pytest.mark.parametrize("release", ["", "v0", "v7", "release_v7", "v5_v4", "v1_", "release_v1_v2", "latest"])
def test_what_is_no_release_is_told(release):
    with pytest.raises(ValueError, match="release_vN"):
        LiveCodeBenchOptions(release=release)


def test_the_default_is_the_papers_window_of_release_v5(data):
    assert ids(data) == [f"{number}-{date}" for number in range(1, 6) for date in DATES[1:4]]


@pytest.mark.parametrize(
    ("options", "dates"),
    [
        ({"start": "2024-08-01", "end": "2024-08-01"}, DATES[1:2]),
        ({"start": "2024-08-02"}, DATES[2:4]),
        ({"start": "none", "end": "none"}, DATES),
        ({"start": "none"}, DATES[:4]),
        ({"end": "2025-02-01"}, DATES[1:]),
    ],
)
def test_both_ends_of_a_window_belong_to_it(data, options, dates):
    assert ids(data, release="v5", **options) == [f"5-{date}" for date in dates]


def test_a_release_that_is_not_all_there_says_what_is_missing(data):
    with pytest.raises(ValueError, match=r"test6\.jsonl does not exist: release_v6 needs .*release=local"):
        load(data, release="release_v6")
    assert len(ids(data, release="local")) == 15


def test_a_problem_is_its_text_the_form_of_the_answer_and_its_tests(data):
    problem = load(data, release="v1").problems[0]
    assert "Question: Add 1-2024-08-01.\n\nRead the inputs from stdin" in problem.prompt
    assert problem.prompt.endswith("```python\n# YOUR CODE HERE\n```")
    gold = parse_gold(problem.gold)
    assert isinstance(gold, Cases)
    assert gold.function is None


def test_a_functional_problem_shows_its_starter_code(tmp_path):
    starter = "class Solution:\n    def f(self, a: int) -> int:\n        "
    line = row("x", DATES[1], starter_code=starter, metadata='{"func_name": "f"}')
    (tmp_path / "test.jsonl").write_text(json.dumps(line))
    problem = load(tmp_path, release="local").problems[0]
    assert f"```python\n{starter}\n```" in problem.prompt
    gold = parse_gold(problem.gold)
    assert isinstance(gold, Cases)
    assert gold.function == "f"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 1: not valid JSON"),
        ("[]", "line 1: not a row of LiveCodeBench"),
        ("{}", "line 1: not a row of LiveCodeBench"),
        (json.dumps(row("x", "yesterday")), "contest_date 'yesterdayT00:00:00' is not a date"),
        (json.dumps(row("x", DATES[1], metadata="[]")), "row 0: column 'metadata' is not a JSON object"),
        (
            json.dumps(row("x", DATES[1], metadata='{"func_name": 5}')),
            "row 0: func_name in column 'metadata' is not text",
        ),
        (json.dumps(row("x", DATES[1], question_content=3)), "row 0: column 'question_content' is missing or not text"),
        (json.dumps(row("x", DATES[0])), "no problem of local between 2024-08-01 and 2025-01-31"),
    ],
)
def test_a_bad_file_is_told_in_one_line(tmp_path, line, message):
    (tmp_path / "test.jsonl").write_text(line)
    with pytest.raises(ValueError, match=message.replace("[", r"\[")):
        load(tmp_path, release="local")


def test_options_are_checked_on_the_command_line(data, capsys):
    arguments = ["plan", "--model", "tiny", "--tasks", "livecodebench", "--data", str(data), "--widths", "1"]
    arguments += ["--lengths", "512", "--backends", "vanilla"]
    assert run([*arguments, "--task-option", "release=v4", "--task-option", "end=2024-12-01"]) == 0
    assert "livecodebench: 2 problems" in capsys.readouterr().out
    for option, word in (("release=5", "release_vN"), ("start=x", "start"), ("relase=v5", "release")):
        assert run([*arguments, "--task-option", option]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert word in line


def test_real_rows_load(tmp_path):
    path = shared_rows("livecodebench_v5_2408_2502/test.jsonl")
    if path is None:
        pytest.skip("benchmark rows are not part of the project")
    loaded = load(path.parent, release="local", end="2025-02-01")
    assert len(loaded.problems) == 279
    assert not loaded.partial
    assert sum(parse_gold(problem.gold).function is not None for problem in loaded.problems) == 104
