"""Whatever a user types, or writes into a --config file: it is taken, or refused in one line with exit code 2."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.faults.cases import MODEL, TEXT, VALUE, Case, assert_taken_or_refused, cases, command, fuzz, write


@pytest.fixture(scope="module")
def case() -> Iterator[Case]:
    yield from cases()


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


@fuzz(350)
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


@fuzz(60)
@given(st.lists(TEXT | st.sampled_from([*FLAGS, "plan", "sweep", "tasks", "backends", "--help", "-h"]), max_size=4))
def test_any_words(case: Case, words: list[str]) -> None:
    offline = [word for word in words if word not in ("models", "retrofit", "figures")]
    # Without --dry-run a sweep would begin.
    code, told = command([word if word != "sweep" else "plan" for word in offline])
    assert code in (0, 2)
    assert not code or not told or told.startswith("error: ")


@fuzz(60)
@given(
    st.sampled_from([1, 2, 4, 16]), st.sampled_from(["64", "1k", "64,128", "1k,8k"]),
    st.sampled_from([[], ["--limit", "3"], ["--pool", "16"], ["--seed", str(2**63 - 1)], ["--top-k", "40"]]),
    st.sampled_from([[], ["--backends", "tova,h2o,random", "--cr", "2"], ["--backends", "vanilla,quest", "--cr", "2"]]),
)  # fmt: skip
def test_good_flags_are_taken(case: Case, width: int, lengths: str, more: list[str], backends: list[str]) -> None:
    grid = ["--widths", str(width), "--lengths", lengths]
    code, told = command(["plan", "--model", MODEL, "--tasks", "gsm8k,arithmetic", *grid, *more, *backends])
    assert (code, told) == (0, "")


def test_the_cases_are_mostly_toml(tmp_path: Path) -> None:
    values = {"a": [1, "x"], "b": {"c": True}, "d": date(2026, 1, 1), "e": -1.5}
    write(tmp_path / "x.toml", values)
    assert tomllib.loads((tmp_path / "x.toml").read_text()) == values


CONFIG = {"model": MODEL, "tasks": ["gsm8k"], "widths": [1, 2], "lengths": ["64", 128]}
KEY = st.sampled_from([flag[2:] for flag in FLAGS] + ["model", "tasks", "batch-invariant", "quick", "Seed", "x"])


@fuzz(350)
@given(st.dictionaries(KEY, VALUE | st.sampled_from(["64", "4,8", "vanilla", "tova"]), min_size=1, max_size=3))
def test_config_files(case: Case, fields: dict[str, Any]) -> None:
    if isinstance(fields.get("model"), str) or fields.get("quick"):
        fields["model"] = MODEL  # another could be asked for at the hub, or be the built-in one, with all its tasks
    write(case.root / "sweep.toml", CONFIG | fields)
    assert_taken_or_refused(*command(["plan", "--config", "sweep.toml"]))


@fuzz(60)
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
