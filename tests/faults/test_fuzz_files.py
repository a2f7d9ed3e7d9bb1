"""Whatever stands in a task file, a data file or a config: it is taken, or refused in one line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperscale.config import SweepConfig, make_config
from hyperscale.tasks.load import load_problems, load_task
from tests.faults.cases import MODEL, TEXT, VALUE, Case, assert_taken_or_refused, cases, command, fuzz, refused, write


@pytest.fixture(scope="module")
def case() -> Iterator[Case]:
    yield from cases()


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


@fuzz(650)
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
    code, told = command(["plan", "--model", MODEL, "--tasks", "task.toml", "--budget", "1k"])
    assert_taken_or_refused(code, told)
    assert "data.jsonl, line 1: not valid JSON" in told


@fuzz(500)
@given(st.lists(LINE, max_size=4), st.sampled_from([{}, {"id": "n"}, {"answer_after": "#"}]))
def test_data_files(case: Case, lines: list[bytes], columns: dict[str, str]) -> None:
    (case.root / "data.jsonl").write_bytes(b"\n".join(lines))
    own_task(case, "data.jsonl", **columns)
    assert_problems_or_refusal(case)


PARQUET = BytesIO()
pq.write_table(pa.table({"q": ["?", "!"], "a": ["1", "2"], "n": [1, 2]}), PARQUET)


@fuzz(150)
@given(st.integers(0, 10**6), st.integers(0, 255), st.booleans())
def test_damaged_parquet_files(case: Case, place: int, byte: int, cut: bool) -> None:
    whole = PARQUET.getvalue()
    at = place % len(whole)
    (case.root / "data.parquet").write_bytes(whole[:at] if cut else whole[:at] + bytes([byte]) + whole[at + 1 :])
    own_task(case, "data.parquet")
    assert_problems_or_refusal(case)


ENTRY = st.sampled_from(sorted(SweepConfig.model_fields)) | st.just("x")
BASE: dict[str, Any] = {"model": MODEL, "tasks": ("gsm8k",), "grid": ((1, 64),), "output_dir": "out"}


@fuzz(500)
@given(st.dictionaries(ENTRY, VALUE | st.none() | st.just(((1, 2), (3, 4))), min_size=1, max_size=3))
def test_configs(fields: dict[str, Any]) -> None:
    try:
        config = make_config(**(BASE | fields))
        assert config.width >= 1
        json.dumps(config.identity())
    except ValueError as error:
        refused(error)
