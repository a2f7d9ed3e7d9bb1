"""Programs of tests/hostile, under each sandbox and the strict grader: the right verdict, and nothing left.

All of them in the sandbox that `--sandbox auto` takes here. In the other all in the whole suite, and some in the quick.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from hyperscale.grading.code import strict
from hyperscale.grading.code.gold import same_output
from hyperscale.sandbox import Limits, Program, Sandbox
from tests.extent import extent
from tests.sandbox.corpus import GOLD, PROGRAMS, Entry, chosen
from tests.sandbox.host import Host, host, left_running

MIB = 1 << 20
LIMITS = Limits(cpu_seconds=1, wall_seconds=2.0, memory_bytes=1024 * MIB, scratch_bytes=64 * MIB, output_bytes=8 * MIB)
TOGETHER = 8
AFTER = extent(8, 1)
"""After so many a harmless one is run, for what they may have left."""


class Result(NamedTuple):
    """What became of a hostile program, and of a harmless one right after it, if there was one."""

    passed: bool
    ended: str
    leak: str
    next_passed: bool


@pytest.fixture(scope="module")
def machine() -> Iterator[Host]:
    # Not in /tmp, of which programs have one of their own.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder, host(Path(folder)) as made:
        yield made


@pytest.fixture(scope="module")
def results(sandbox: Sandbox, machine: Host) -> dict[str, Result]:
    """Several run at once: a sandbox may not let one disturb another."""
    names = chosen(sandbox.name)
    with ThreadPoolExecutor(TOGETHER) as threads:
        found = threads.map(
            lambda index: _run(sandbox, machine, PROGRAMS[names[index]], index % AFTER == AFTER - 1), range(len(names))
        )
        return dict(zip(names, found, strict=True))


def _run(sandbox: Sandbox, machine: Host, entry: Entry, and_after: bool) -> Result:
    source = machine.fill(entry.source)
    kind = entry.facts["kind"]
    ended, leak = "", ""
    if kind == "stdin":
        program = Program(("/box/program.py",), {"program.py": source.encode("utf-8", "surrogateescape")})
        run = sandbox.run(program, LIMITS, b"40 2\n")
        ended = "signal" if run.why == "exited" and run.code > 128 else run.why
        said = run.stdout + run.stderr
        leak = said[said.index(b"LEAK") :][:300].decode("utf-8", "replace") if b"LEAK" in said else ""
        passed = run.well and same_output(run.stdout.decode("utf-8", "replace"), "42\n")
    else:
        passed = strict.judge(sandbox, source, GOLD[kind], LIMITS).passed
    return Result(passed, ended, leak, not and_after or _is_clean(sandbox))


def _is_clean(sandbox: Sandbox) -> bool:
    after = sandbox.run(Program.script("import os; print(os.listdir('/tmp'), os.listdir('/dev/shm'))"), LIMITS)
    return after.well and after.stdout == b"[] []\n"


def test_the_corpus_is_large_and_says_what_it_holds():
    assert len(PROGRAMS) >= 60
    assert {entry.facts["kind"] for entry in PROGRAMS.values()} == set(GOLD)
    assert {entry.facts["verdict"] for entry in PROGRAMS.values()} == {"pass", "fail", "any"}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_hostile_program_gets_its_verdict_and_disturbs_nobody(results: dict[str, Result], name: str) -> None:
    result, facts = results[name], PROGRAMS[name].facts
    assert not result.leak
    if facts["verdict"] != "any":  # Either sandbox has its own way with it.
        assert result.passed == (facts["verdict"] == "pass"), (result, facts)
    if (wanted := facts.get("ends", "any")) != "any" and facts["kind"] == "stdin":
        assert result.ended in {end.strip() for end in wanted.split("|")}, (result, facts)
    assert result.next_passed


def test_nothing_is_left_and_nothing_was_reached(results: dict[str, Result], sandbox: Sandbox, machine: Host) -> None:
    assert _is_clean(sandbox)
    assert machine.touched() == []
    assert left_running() == []
