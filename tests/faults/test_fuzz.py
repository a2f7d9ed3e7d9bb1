"""Whatever a user types or writes into a file: it is taken, or refused in one line with exit code 2."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from datetime import date, datetime, time
from io import BytesIO, StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hyperscale.cli import run
from hyperscale.config import SweepConfig, make_config
from hyperscale.tasks import load_problems, load_task

# The same cases each time: what is found is mended, and a run tomorrow does not fail by luck.
settings.register_profile(
    "fuzz", derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck), print_blob=False
)
FUZZ = settings.get_profile("fuzz")

NASTY = [
    "", " ", ",", ",,", "a,,b", "-1", "0", "1", "007", "1.5", "1e999", "-1e999", "nan", "inf", "-inf", "1e-320", "1_0",
    "9" * 25, "9" * 5000, "0x10", "4k", "8K", "1kk", "1.5k", "99999999999t", "²", "٣", "é", "😀", "a\nb", "\x00", "\t",
    "\x7f", "../..", "/", "~", ".", "none", "null", "True", "--", "-", "=", "a=b", "a.b=c", "tova.sink_tokens=x",
    "tova.sink_tokens=4", "quest.page=", "{problem}", "%s", "{}", "[bold]", "x" * 5000, "\ud800",
]  # fmt: skip
TEXT = st.sampled_from(NASTY) | st.text(st.characters(codec="utf-8"), max_size=12)
MODEL = "no/such/model/here"
"""Neither a folder nor a name that a hub could have: nothing is fetched."""


class Case:
    """Folders of a test, made once for all its cases."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.toml, self.rows = root / "task.toml", root / "rows.jsonl"
        self.rows.write_text('{"q": "1+1?", "a": "2", "n": 1}\n{"q": "2+2?", "a": "4", "n": 2}\n')


@pytest.fixture(scope="module")
def case() -> Iterator[Case]:
    with TemporaryDirectory() as root, chdir(root):
        yield Case(Path(root))


def command(arguments: list[str]) -> tuple[int, str]:
    """Exit code and what stands on stderr; whatever is raised is a failure."""
    told = StringIO()
    with redirect_stdout(StringIO()), redirect_stderr(told):
        code = run(arguments)
    return code, told.getvalue()


def assert_taken_or_refused(code: int, told: str) -> None:
    assert code in (0, 2), told
    if code:
        assert told.startswith("error: "), told
        assert told.count("\n") == 1, told
        assert len(told) > len("error: \n")


FLAGS = {
    "--dtype": ["auto", "float32", "int8"],
    "--device": ["auto", "cpu", "cuda:0", "cuda:x"],
    "--limit": ["1", "3"],
    "--problem-id": ["0", "0,1", "zz"],
    "--task-option": ["lengths=1000", "ruler_niah.lengths=1000,3000"],
    "--budget": ["4k", "64k"],
    "--min-length": ["1k", "16"],
    "--widths": ["1", "1,2,4"],
    "--lengths": ["64", "1k,2k"],
    "--pool": ["4", "64"],
    "--backends": ["vanilla", "tova", "quest,h2o", "dms", "dmc", "random"],
    "--cr": ["2", "2,4", "1.5", "1"],
    "--backend-option": ["tova.sink_tokens=4", "quest.x=1"],
    "--memory-budget": ["2GiB", "500MB", "8"],
    "--temperature": ["0", "0.6"],
    "--top-p": ["1", "0.95"],
    "--top-k": ["0", "20"],
    "--min-p": ["0", "0.1"],
    "--seed": ["0", "7"],
    "--max-batch": ["1", "128"],
    "--data": ["nowhere", "."],
    "--revision": ["main"],
    "--output-dir": ["out"],
    "--config": ["nowhere.toml", "."],
    "--code-grader": ["strict", "official", "both"],
    "--sandbox": ["auto", "none"],
}
FLAG = st.sampled_from(sorted(FLAGS)).flatmap(
    lambda flag: st.tuples(st.just(flag), st.sampled_from(FLAGS[flag]) | TEXT)
)
TASKS = st.sampled_from(["gsm8k", "arithmetic", "gpqa_diamond", "gsm8k,aime24", "task.toml", "gsm9k"]) | TEXT
GOOD = ["plan", "--model", MODEL, "--tasks", "gsm8k", "--widths", "1,2", "--lengths", "1k"]


@settings(FUZZ, max_examples=450)
@given(
    st.sampled_from([["plan"], ["sweep", "--dry-run"]]),
    TASKS,
    st.sampled_from([["--budget", "8k"], ["--widths", "1,2", "--lengths", "64,128"], []]),
    st.lists(FLAG, max_size=4),
    st.sampled_from(["", "", "", "--batch-invariant", "--quick", "--force", "stray", "-x", "--no-such-flag"]),
)
def test_flags(
    case: Case, head: list[str], tasks: str, grid: list[str], flags: list[tuple[str, str]], more: str
) -> None:
    arguments = [*head, "--model", MODEL, f"--tasks={tasks}", *grid, *(f"{flag}={value}" for flag, value in flags)]
    assert_taken_or_refused(*command([*arguments, *([more] if more else [])]))


@settings(FUZZ, max_examples=60)
@given(st.lists(TEXT | st.sampled_from([*FLAGS, "plan", "sweep", "tasks", "backends", "--help", "-h"]), max_size=4))
def test_any_words(case: Case, words: list[str]) -> None:
    offline = [word for word in words if word not in ("models", "retrofit", "figures")]
    # Without --dry-run a sweep would begin.
    code, told = command([word if word != "sweep" else "plan" for word in offline])
    assert code in (0, 2)
    assert not code or not told or told.startswith("error: ")


@settings(FUZZ, max_examples=60)
@given(
    st.sampled_from([1, 2, 4, 16]), st.sampled_from(["64", "1k", "64,128", "1k,8k"]),
    st.sampled_from([[], ["--limit", "3"], ["--pool", "16"], ["--seed", str(2**63 - 1)], ["--top-k", "40"]]),
    st.sampled_from([[], ["--backends", "tova,h2o,random", "--cr", "2"], ["--backends", "vanilla,quest", "--cr", "2"]]),
)  # fmt: skip
def test_good_flags_are_taken(case: Case, width: int, lengths: str, more: list[str], backends: list[str]) -> None:
    grid = ["--widths", str(width), "--lengths", lengths]
    code, told = command(["plan", "--model", MODEL, "--tasks", "gsm8k,arithmetic", *grid, *more, *backends])
    assert (code, told) == (0, "")


SCALAR = (
    TEXT
    | st.integers(-3, 10)
    | st.integers()
    | st.floats()
    | st.booleans()
    | st.just(date(2026, 1, 1))
    | st.just(datetime(2026, 1, 1))
    | st.just(time(1, 2))
)
VALUE = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner), max_leaves=4
)


def toml(value: Any) -> str:
    """A value as TOML; not every string can be one."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(inner)}" for key, inner in value.items()) + "}"
    return value.isoformat() if isinstance(value, date | time) else str(value)


def write(path: Path, fields: dict[str, Any]) -> None:
    text = "".join(f"{key} = {toml(value)}\n" for key, value in fields.items())
    path.write_text(text, encoding="utf-8", errors="replace")


def test_the_cases_are_mostly_toml(tmp_path: Path) -> None:
    values = {"a": [1, "x"], "b": {"c": True}, "d": date(2026, 1, 1), "e": -1.5}
    write(tmp_path / "x.toml", values)
    assert tomllib.loads((tmp_path / "x.toml").read_text()) == values


CONFIG = {"model": MODEL, "tasks": ["gsm8k"], "widths": [1, 2], "lengths": ["64", 128]}
KEY = st.sampled_from([flag[2:] for flag in FLAGS] + ["model", "tasks", "batch-invariant", "quick", "Seed", "x"])


@settings(FUZZ, max_examples=400)
@given(st.dictionaries(KEY, VALUE | st.sampled_from(["64", "4,8", "vanilla", "tova"]), min_size=1, max_size=3))
def test_config_files(case: Case, fields: dict[str, Any]) -> None:
    if isinstance(fields.get("model"), str) or fields.get("quick"):
        fields["model"] = MODEL  # another could be asked for at the hub, or be the built-in one, with all its tasks
    write(case.root / "sweep.toml", CONFIG | fields)
    assert_taken_or_refused(*command(["plan", "--config", "sweep.toml"]))


@settings(FUZZ, max_examples=60)
@given(
    st.binary(max_size=40)
    | st.just(b"seed = " + b"[" * 50_000)
    | st.text(max_size=40).map(lambda text: text.encode("utf-8", "replace"))
)
def test_config_files_of_anything(case: Case, content: bytes) -> None:
    (case.root / "any.toml").write_bytes(content)
    assert_taken_or_refused(*command([*GOOD, "--config", "any.toml"]))


@pytest.mark.parametrize("nested", ["x = " + "[" * 50_000, "x = " + "{a = " * 50_000, "x." * 900 + "y = 1"])
def test_deep_nesting(case: Case, nested: str) -> None:
    (case.root / "deep.toml").write_text(nested)
    for arguments in ([*GOOD, "--config", "deep.toml"], [*GOOD[:3], "--tasks", "deep.toml", *GOOD[5:]]):
        code, told = command(arguments)
        assert code == 2
        assert_taken_or_refused(code, told)


def refused(error: ValueError) -> None:
    assert str(error)
    assert "\n" not in str(error), error


TASK: dict[str, Any] = {
    "name": "own", "title": "Own", "rows": "rows.jsonl", "grader": "number", "aggregate": "majority",
    "prompt": "Solve: {problem}", "columns": {"problem": "q", "answer": "a"},
}  # fmt: skip
FIELD = st.sampled_from(
    ["name", "title", "hub_id", "hub_config", "revision", "split", "local", "local_split", "rows", "generator",
     "problems", "columns", "prompt", "system", "grader", "aggregate", "chance", "folder", "adapter", "options", "x"]
)  # fmt: skip
FITTING = st.sampled_from(
    ["{problem}", "{problem} {A} {B} {C} {D}", "choice", "math", "pass", "rows.jsonl", "../rows.jsonl", "", ".",
     "trace", "countdown", "test", "train", 3, 0.25,
     {"problem": "q", "answer": "a"}, {"problem": "q", "answer": "n", "id": "n"}, {"problem": "x", "answer": "a"},
     {"problem": "q", "answer": "a", "id": "q", "answer_after": "#"},
     {"problem": "q", "answer": "a", "distractors": ["a"]}]
)  # fmt: skip


@settings(FUZZ, max_examples=600)
@given(st.dictionaries(FIELD, VALUE | FITTING, max_size=3), st.lists(FIELD, max_size=1))
def test_task_files(case: Case, fields: dict[str, Any], missing: list[str]) -> None:
    write(case.toml, {key: value for key, value in (TASK | fields).items() if key not in missing})
    try:
        task = load_task(str(case.toml))
        if task.hub_id is None and (task.problems or 0) <= 100:
            loaded = load_problems(task)
            assert loaded.problems
    except ValueError as error:
        refused(error)


CELL = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
    max_leaves=3,
)
ROW = st.dictionaries(st.sampled_from(["q", "a", "n", "x"]), CELL, max_size=4) | st.just({"q": "?", "a": "1"})
LINE = (
    ROW.map(lambda row: json.dumps(row).encode())
    | CELL.map(lambda cell: json.dumps(cell).encode())
    | st.binary(max_size=12)
    | st.sampled_from([b"[" * 100_000, b"1" * 5000, b'{"q": 1, "q": 2, "a": NaN}', b"\xef\xbb\xbf{}", b"\r\r", b"\xff"])
)


def own_task(case: Case, rows: str, **columns: str) -> None:
    write(case.toml, TASK | {"rows": rows, "columns": {"problem": "q", "answer": "a", **columns}})


def assert_problems_or_refusal(case: Case) -> None:
    try:
        assert load_problems(load_task(str(case.toml))).problems
    except ValueError as error:
        refused(error)


def test_a_bad_data_file_is_a_bad_command(case: Case) -> None:
    (case.root / "data.jsonl").write_bytes(b"{")
    own_task(case, "data.jsonl")
    code, told = command([*GOOD[:3], "--tasks", "task.toml", *GOOD[5:]])
    assert_taken_or_refused(code, told)
    assert "data.jsonl, line 1: not valid JSON" in told


@settings(FUZZ, max_examples=450)
@given(st.lists(LINE, max_size=4), st.sampled_from([{}, {"id": "n"}, {"answer_after": "#"}]))
def test_data_files(case: Case, lines: list[bytes], columns: dict[str, str]) -> None:
    (case.root / "data.jsonl").write_bytes(b"\n".join(lines))
    own_task(case, "data.jsonl", **columns)
    assert_problems_or_refusal(case)


PARQUET = BytesIO()
pq.write_table(pa.table({"q": ["?", "!"], "a": ["1", "2"], "n": [1, 2]}), PARQUET)


@settings(FUZZ, max_examples=150)
@given(st.integers(0, 10**6), st.integers(0, 255), st.booleans())
def test_damaged_parquet_files(case: Case, place: int, byte: int, cut: bool) -> None:
    whole = PARQUET.getvalue()
    at = place % len(whole)
    (case.root / "data.parquet").write_bytes(whole[:at] if cut else whole[:at] + bytes([byte]) + whole[at + 1 :])
    own_task(case, "data.parquet")
    assert_problems_or_refusal(case)


ENTRY = st.sampled_from(sorted(SweepConfig.model_fields)) | st.just("x")
BASE: dict[str, Any] = {"model": MODEL, "tasks": ("gsm8k",), "grid": ((1, 64),), "output_dir": "out"}


@settings(FUZZ, max_examples=400)
@given(st.dictionaries(ENTRY, VALUE | st.none() | st.just(((1, 2), (3, 4))), min_size=1, max_size=3))
def test_configs(fields: dict[str, Any]) -> None:
    try:
        config = make_config(**(BASE | fields))
        assert config.width >= 1
        json.dumps(config.identity())
    except ValueError as error:
        refused(error)
