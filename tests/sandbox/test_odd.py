"""Every program of tests/odd is right, and strange: the strict grader passes it under each sandbox."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import pytest

from hyperscale.grading.code.gold import same_output
from hyperscale.sandbox import Ended, Limits, Program, Sandbox
from tests.sandbox.corpus import Entry, read, text

LIMITS = Limits(cpu_seconds=20, wall_seconds=60.0)
PROGRAMS = {entry.name: entry for entry in read("odd") if "needs" not in entry.facts or find_spec(entry.facts["needs"])}


@pytest.fixture(scope="module")
def results(sandbox: Sandbox) -> dict[str, Ended]:
    def run(entry: Entry) -> Ended:
        program = Program(("/box/program.py",), {"program.py": entry.source})
        return sandbox.run(program, LIMITS, text(entry.facts, "input", "40 2\n").encode())

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        return dict(zip(PROGRAMS, threads.map(run, PROGRAMS.values()), strict=True))


def test_the_corpus_is_large():
    assert len(PROGRAMS) >= 40


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_odd_program_passes(results: dict[str, Ended], name: str) -> None:
    ended, facts = results[name], PROGRAMS[name].facts
    assert ended.well, (ended.why, ended.code, ended.stderr[-500:], facts)
    assert same_output(ended.stdout.decode("utf-8", "replace"), text(facts, "output", "42\n")), ended.stdout[:200]
