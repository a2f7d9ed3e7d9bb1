"""The benchmarks' own graders: equal verdicts, as easy to deceive. Use them to compare with published numbers."""

from __future__ import annotations

import json

from hyperscale.grading.code.gold import Case, Cases, Check, cases_of, same_output, same_value
from hyperscale.grading.code.inside import values
from hyperscale.grading.code.strict import (
    CHECK_SECONDS,
    PASSED,
    SECONDS,
    WRONG,
    Outcome,
    assembled,
    driver,
    parse_json,
    reason_of,
)
from hyperscale.sandbox import Limits, Program, Sandbox
from hyperscale.sandbox.process import Running

_OUTPUT_BYTES = 256 << 20
"""Limit on one test's output; the benchmark's grader has none."""


def judge(sandbox: Sandbox, source: str, gold: Cases | Check) -> Outcome:
    """Run a program on every test in one process, up to the first failure."""
    if isinstance(gold, Check):
        return _check(sandbox, source, gold)
    cases = cases_of(gold)
    backstop = (SECONDS + 1) * len(cases) + 5
    name = "official_call" if gold.function else "official_stdin"
    arguments = (f"/box/{name}.py", *([gold.function] if gold.function else []), str(SECONDS))
    program = Program(arguments, driver(name, program=source.encode("utf-8", "replace")))
    # The alarm inside is the limit, as in the benchmark; the kernel's ends programs that swallow the alarm.
    limits = Limits(cpu_seconds=backstop, wall_seconds=float(backstop), output_bytes=_OUTPUT_BYTES)
    with sandbox.start(program, limits) as running:
        if (said := running.ask(b"load", backstop)) != b"loaded":
            return _failed(running, said)
        for case in cases:
            said = running.ask(json.dumps(case.given).encode(), backstop)
            if said is None or not said.startswith(b"value "):
                return _failed(running, said)
            if not _right(said.removeprefix(b"value "), case, gold.function is not None):
                return WRONG
    return PASSED


def _right(value: bytes, case: Case, called: bool) -> bool:
    try:
        produced = values.loads(value)
        if called:
            return same_value(produced, parse_json(case.expected))
    except ValueError:
        return False
    return isinstance(produced, str) and same_output(produced, case.expected)


def _failed(running: Running, said: bytes | None) -> Outcome:
    """Say why there was no value."""
    if said is None:
        return Outcome(False, reason_of(running.close()))
    return Outcome(False, "timeout" if said == b"timeout" else "crash")


def _check(sandbox: Sandbox, source: str, gold: Check) -> Outcome:
    text = "\n".join([*assembled(source, gold), gold.test, f"check({gold.function})"])
    program = Program(
        ("/box/official_check.py", str(CHECK_SECONDS)),
        driver("official_check", program=text.encode("utf-8", "replace")),
    )
    limits = Limits(cpu_seconds=CHECK_SECONDS + 1, wall_seconds=CHECK_SECONDS + 1.0)
    with sandbox.start(program, limits) as running:
        said = running.ask(b"begin", limits.wall_seconds)
        return PASSED if said == b"passed" else _failed(running, said)
