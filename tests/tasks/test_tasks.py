from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hyperscale
from hyperscale.grading import gold_normal
from hyperscale.tasks.adapters import ADAPTERS
from hyperscale.tasks.load import LoadedProblems, choice_order, load_problems, load_task, task_names
from hyperscale.tasks.task import Task
from tests.shared_data import shared_rows

GPQA_ROWS = [
    {
        "Record ID": f"rec{i}",
        "Question": f"Which number follows {i} in $\\frac{{A}}{{B}}$ {{A}}?",
        "Correct Answer": f"right {i}\n",
        "Incorrect Answer 1": f"wrong {i}a",
        "Incorrect Answer 2": f"wrong {i}b",
        "Incorrect Answer 3": f"wrong {i}c",
        "Subdomain": "Counting",
        "High-level domain": "Mathematics",
    }
    for i in range(40)
]
GENERATED = 'generator = "trace"\nproblems = 5\n'
MATH_ROWS = [{"problem": f"What is {i}+{i}?", "answer": str(2 * i), "unique_id": f"test/{i}.json"} for i in range(5)]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def load(name: str, data: Path, **options: Any) -> LoadedProblems:
    return load_problems(load_task(name), data=data, **options)


@pytest.fixture
def own_task(tmp_path: Path) -> Path:
    """A user's task with rows beside it."""
    write(tmp_path / "rows.jsonl", [{"q": "1+1?", "a": "2"}, {"q": "2+2?", "a": "4"}])
    path = tmp_path / "mine.toml"
    path.write_text(
        'name = "mine"\ntitle = "Mine"\nrows = "rows.jsonl"\ngrader = "number"\naggregate = "majority"\n'
        'prompt = "Q: {problem}"\n[columns]\nproblem = "q"\nanswer = "a"\n'
    )
    return path


@pytest.mark.parametrize("name", task_names())
def test_every_task_is_valid_pinned_and_hashed(name: str) -> None:
    task = load_task(name)
    assert task.name == name
    made = task.generator or (task.adapter and ADAPTERS[task.adapter].generates)
    assert task.rows or made or re.fullmatch(r"[0-9a-f]{40}", task.revision or "")
    assert task.prompt_sha == hashlib.sha256(json.dumps([task.system, task.prompt]).encode()).hexdigest()


def test_the_tasks_of_the_paper_are_there() -> None:
    assert {"aime24", "aime25", "math500", "gsm8k", "gpqa_diamond", "arithmetic"} <= set(task_names())
    assert load_task("gpqa_diamond").chance == 0.25


def test_arithmetic_needs_no_hub_and_every_expression_is_right() -> None:
    loaded = load_problems(load_task("arithmetic"))
    assert len(loaded.problems) >= 60
    assert len({problem.prompt for problem in loaded.problems}) == len(loaded.problems)
    expressions = [problem for problem in loaded.problems if problem.id.startswith("expression")]
    for problem in expressions:
        found = re.search(r"What is (.*)\?", problem.prompt)
        assert found is not None
        assert eval(found[1]) == int(problem.gold)
    assert len(expressions) > 20


@pytest.mark.parametrize(
    ("name", "count", "first_id"),
    [("aime24", 30, "60"), ("math500", 500, "test/precalculus/807.json"), ("gsm8k", 1319, "0")],
)
def test_real_rows_load_and_can_be_graded(name: str, count: int, first_id: str) -> None:
    task = load_task(name)
    path = shared_rows(f"{task.local}/test.jsonl")
    if path is None:
        pytest.skip("benchmark rows are not part of the project")
    loaded = load_problems(task, data=path.parents[1])
    assert (len(loaded.problems), loaded.problems[0].id, loaded.partial) == (count, first_id, False)
    assert loaded.dataset_revision == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    for problem in loaded.problems:
        gold_normal(task.grader, problem.gold)
        assert problem.permutation is None


def test_prompts_hold_the_problem_and_nothing_unfilled(tmp_path: Path) -> None:
    write(tmp_path / "math_500/test.jsonl", MATH_ROWS)
    prompt = load("math500", tmp_path).problems[3].prompt
    assert prompt.startswith("Solve the following math problem efficiently and clearly.  The last line")
    assert r"'Therefore, the final answer is: $\boxed{ANSWER}$. I hope it is correct'" in prompt
    assert prompt.endswith("\n\nWhat is 3+3?")


def test_choices_are_permuted_once_and_the_gold_letter_follows(tmp_path: Path) -> None:
    write(tmp_path / "gpqa_diamond/train.jsonl", GPQA_ROWS)
    loaded = load("gpqa_diamond", tmp_path, seed=7)
    for row, problem in zip(GPQA_ROWS, loaded.problems, strict=True):
        assert problem.id == row["Record ID"]
        assert problem.permutation is not None
        assert sorted(problem.permutation) == [0, 1, 2, 3]
        shown = dict(re.findall(r"^([A-D])\) (.*)$", problem.prompt, re.MULTILINE))
        assert shown[problem.gold] == row["Correct Answer"].strip()
        in_dataset = ["Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3"]
        assert [shown[x] for x in "ABCD"] == [row[in_dataset[i]].strip() for i in problem.permutation]
        assert row["Question"] in problem.prompt, "braces of the question are left alone"
    assert load("gpqa_diamond", tmp_path, seed=7) == loaded
    assert load("gpqa_diamond", tmp_path, seed=8) != loaded
    assert len({problem.gold for problem in loaded.problems}) == 4


def test_a_permutation_depends_on_question_and_seed_only(tmp_path: Path) -> None:
    write(tmp_path / "a/train.jsonl", GPQA_ROWS)
    write(tmp_path / "b/train.jsonl", list(reversed(GPQA_ROWS)))
    assert load("gpqa_diamond", tmp_path / "b").problems == load("gpqa_diamond", tmp_path / "a").problems[::-1]


@given(st.integers(0, 2**32))
def test_the_right_choice_stands_everywhere_equally_often(seed: int) -> None:
    places = Counter(choice_order(f"question {i}", seed).index(0) for i in range(400))
    assert all(50 < places[place] < 150 for place in range(4))


def test_limit_and_ids_select_in_the_order_of_the_dataset(tmp_path: Path) -> None:
    write(tmp_path / "math_500/test.jsonl", MATH_ROWS)

    def ids(**options: Any) -> tuple[list[str], bool]:
        loaded = load("math500", tmp_path, **options)
        return [problem.id for problem in loaded.problems], loaded.partial

    assert ids(limit=2) == (["test/0.json", "test/1.json"], True)
    assert ids(limit=99) == ([f"test/{i}.json" for i in range(5)], False)
    assert ids(problem_ids=["test/4.json", "test/1.json"]) == (["test/1.json", "test/4.json"], True)
    assert ids(problem_ids=["test/4.json", "test/1.json"], limit=1) == (["test/1.json"], True)


@pytest.mark.parametrize(
    "place",
    ["math_500/test.jsonl", "math500/test.jsonl", "test.jsonl", "math_500/test.parquet", "test.parquet"],
)
def test_a_data_folder_is_searched_in_the_documented_places(tmp_path: Path, place: str) -> None:
    path = tmp_path / place
    write(path, MATH_ROWS)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(MATH_ROWS), path)
    assert [problem.gold for problem in load("math500", tmp_path).problems] == ["0", "2", "4", "6", "8"]


def test_the_own_folder_of_a_task_goes_before_files_at_the_top(tmp_path: Path) -> None:
    write(tmp_path / "test.jsonl", [{"question": "top", "answer": "#### 1"}])
    write(tmp_path / "gsm8k/test.jsonl", [{"question": "own", "answer": "2 000 steps\n#### 2,000"}])
    (problem,) = load("gsm8k", tmp_path).problems
    assert (problem.id, problem.gold) == ("0", "2,000")
    assert "Problem: own\n" in problem.prompt


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"problem": "p", "unique_id": "1"}], r"row 0 has no column 'answer'; it has problem, unique_id"),
        ([*MATH_ROWS, {"problem": "p", "answer": " ", "unique_id": "9"}], r"row 5: column 'answer' is empty"),
        ([*MATH_ROWS, {"problem": "p", "answer": None, "unique_id": "9"}], r"row 5: column 'answer' is empty"),
        ([*MATH_ROWS, MATH_ROWS[2]], r"id 'test/2.json' occurs twice in column 'unique_id'"),
        ([], "no rows"),
    ],
)
def test_bad_rows_are_refused_with_their_place(tmp_path: Path, rows: list[dict[str, Any]], message: str) -> None:
    path = write(tmp_path / "math_500/test.jsonl", rows)
    with pytest.raises(ValueError, match=message) as error:
        load("math500", tmp_path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("line", "message"), [("{broken", "line 2: not valid JSON"), ("[1]", "line 2: a row must be a JSON object")]
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "test.jsonl").write_text(json.dumps(MATH_ROWS[0]) + "\n" + line + "\n")
    with pytest.raises(ValueError, match=message):
        load("math500", tmp_path)


def test_bad_parquet_missing_mark_missing_folder_and_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none of .*math_500/test.jsonl.* exists"):
        load("math500", tmp_path)
    with pytest.raises(ValueError, match=r"data folder .* does not exist"):
        load("math500", tmp_path / "nowhere")
    (tmp_path / "test.parquet").write_bytes(b"PAR0")
    with pytest.raises(ValueError, match="not a readable parquet file"):
        load("math500", tmp_path)
    write(tmp_path / "gsm8k/test.jsonl", [{"question": "q", "answer": "18"}])
    with pytest.raises(ValueError, match=r"row 0: no answer after '####' in column 'answer'"):
        load("gsm8k", tmp_path)


def test_unknown_tasks_problems_and_limits_are_refused_with_what_is_near(tmp_path: Path) -> None:
    write(tmp_path / "math_500/test.jsonl", MATH_ROWS)
    with pytest.raises(ValueError, match=r"no task 'math50', did you mean 'math500'"):
        load_task("math50")
    with pytest.raises(ValueError, match=r"no problem 'test/9.json', did you mean 'test/"):
        load("math500", tmp_path, problem_ids=["test/9.json"])
    with pytest.raises(ValueError, match="limit must be at least 1, got 0"):
        load("math500", tmp_path, limit=0)


def test_a_task_of_ones_own_is_a_toml_file(own_task: Path) -> None:
    loaded = load_problems(load_task(str(own_task)))
    assert [(problem.id, problem.prompt, problem.gold) for problem in loaded.problems] == [
        ("0", "Q: 1+1?", "2"),
        ("1", "Q: 2+2?", "4"),
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('title = "Mine"', "", "title: Field required"),
        (
            'grader = "number"',
            'grader = "numbr"',
            "unknown grader 'numbr'; did you mean 'number'",
        ),
        ('title = "Mine"', 'title = "Mine"\ncolour = "red"', "colour: Extra inputs are not permitted"),
        ('rows = "rows.jsonl"', "", "give one of hub_id, rows and generator, not none"),
        ('rows = "rows.jsonl"', 'hub_id = "a/b"', "revision is missing"),
        ('title = "Mine"', 'title = "Mine"\nhub_id = "a/b"', "not hub_id and rows"),
        ('title = "Mine"', 'title = "Mine"\ngenerator = "trace"', "not rows and generator"),
        (
            'rows = "rows.jsonl"',
            'generator = "trac"',
            "no generator 'trac', did you mean 'trace'.; generators: countdown",
        ),
        ('rows = "rows.jsonl"', 'generator = "trace"', "problems is missing: say how many the generator makes"),
        ('rows = "rows.jsonl"', GENERATED + 'revision = "main"', "revision belongs to a dataset of the hub"),
        ('rows = "rows.jsonl"', GENERATED + 'local = "x"', "local belongs to a dataset of the hub"),
        ('rows = "rows.jsonl"', GENERATED + 'split = "dev"', "split of a generator must be train or test, got 'dev'"),
        ("{problem}", "{question}", r"prompt must hold the placeholders \{problem\}, it holds none"),
        ('grader = "number"', 'grader = "choice"', r"\{problem\} \{A\} \{B\} \{C\} \{D\}, it holds \{problem\}"),
        ('answer = "a"', 'answer = "a"\ndistractors = ["x"]', "columns.distractors must name 3 columns"),
        ('problem = "q"', "", "columns.problem: Field required"),
        ('name = "mine"', 'name = "my task"', "name: String should match pattern"),
        ('name = "mine"', "name = mine", "not valid TOML"),
        ('aggregate = "majority"', 'aggregate = "majority"\nchance = 1.5', "chance: Input should be less than 1"),
    ],
)
def test_a_task_file_with_a_mistake_is_refused_in_one_line(own_task: Path, old: str, new: str, message: str) -> None:
    assert old in own_task.read_text()
    own_task.write_text(own_task.read_text().replace(old, new))
    with pytest.raises(ValueError, match=message) as error:
        load_task(str(own_task))
    assert str(error.value).startswith(str(own_task))
    assert "\n" not in str(error.value)


def test_a_missing_task_file_or_rows_file_is_named(own_task: Path) -> None:
    with pytest.raises(ValueError, match=r"task file .*other.toml does not exist"):
        load_task(str(own_task.with_name("other.toml")))
    (own_task.parent / "rows.jsonl").unlink()
    with pytest.raises(ValueError, match=r"data file .*rows.jsonl does not exist"):
        load_problems(load_task(str(own_task)))


class TestHub:
    """The hub itself is out of reach of a test: its client's answers stand in for it."""

    def test_rows_come_from_the_pinned_commit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import datasets

        asked: list[tuple[Any, ...]] = []

        def load_dataset(path: str, name: str | None, *, split: str, revision: str) -> datasets.Dataset:
            asked.append((path, name, split, revision))
            return datasets.Dataset.from_list([{"question": "q", "answer": "so\n#### 4"}])

        monkeypatch.setattr(datasets, "load_dataset", load_dataset)
        task = load_task("gsm8k")
        loaded = load_problems(task)
        assert asked == [("openai/gsm8k", "main", "test", task.revision)]
        assert (loaded.dataset_revision, loaded.problems[0].gold) == (task.revision, "4")

    def test_a_branch_is_resolved_to_its_commit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import datasets
        import huggingface_hub

        commit = "0123456789abcdef0123456789abcdef01234567"

        class Info:
            sha = commit

        monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", lambda self, repo_id, revision: Info())
        monkeypatch.setattr(
            datasets, "load_dataset", lambda *_, revision, **__: [{"question": revision, "answer": "#### 1"}]
        )
        task = load_task("gsm8k").model_copy(update={"revision": "main"})
        loaded = load_problems(task)
        assert loaded.dataset_revision == commit
        assert commit in loaded.problems[0].prompt

    @pytest.mark.parametrize(
        ("error", "message"),
        [
            ("gated", "is gated: accept its terms at https://huggingface.co/datasets/Idavidrein/gpqa and set HF_TOKEN"),
            ("unreachable", r"cannot be loaded \(no route\): check the network, or give a local copy with --data"),
            ("unknown", "cannot be found or reached"),
        ],
    )
    def test_what_the_hub_refuses_is_said_plainly(
        self, monkeypatch: pytest.MonkeyPatch, error: str, message: str
    ) -> None:
        import datasets

        errors = {
            "gated": datasets.exceptions.DatasetNotFoundError("Dataset is a gated dataset on the Hub."),
            "unreachable": ConnectionError("no route\nmore"),
            "unknown": datasets.exceptions.DatasetNotFoundError("Dataset doesn't exist"),
        }

        def load_dataset(*_: Any, **__: Any) -> None:
            raise errors[error]

        monkeypatch.setattr(datasets, "load_dataset", load_dataset)
        with pytest.raises(ValueError, match=message):
            load_problems(load_task("gpqa_diamond"))


def test_a_wheel_carries_its_tasks_inside_the_package(tmp_path: Path) -> None:
    source = Path(hyperscale.__file__).parent
    package = tmp_path / "hyperscale"
    shutil.copytree(source, package, ignore=shutil.ignore_patterns("__pycache__", "tiny"))
    shutil.copytree(source.parent / "tasks", package / "task_files")
    script = (
        "from hyperscale.tasks.load import *\n"
        "print(*task_names(), len(load_problems(load_task('arithmetic')).problems))"
    )
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [*task_names(), str(len(load_problems(load_task("arithmetic")).problems))]


def test_tasks_load_without_what_is_heavy() -> None:
    script = (
        "import sys; from hyperscale.tasks.load import *\n"
        "for name in ('arithmetic', 'countdown', 'trace', 'ruler_niah'): load_problems(load_task(name))\n"
        "print([name for name in ('torch', 'transformers', 'datasets', 'pyarrow', 'sympy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_task_cannot_be_changed() -> None:
    task: Task = load_task("math500")
    with pytest.raises(ValueError, match="frozen"):
        task.prompt = "other"  # type: ignore[misc]
