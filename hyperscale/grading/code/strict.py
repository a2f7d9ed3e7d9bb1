"""The strict grader: real processes and input, compared outside. A program cannot fake tests that it cannot see."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from importlib.resources import files
from typing import Literal, NamedTuple

from hyperscale.grading.code.gold import Case, Cases, Check, cases_of, same_output, same_value
from hyperscale.grading.code.inside import values
from hyperscale.sandbox import Ended, Limits, Program, Sandbox

SECONDS = 6
"""Processor time of a LiveCodeBench test, equal to its own grader's limit on wall-clock time."""

CHECK_SECONDS = 3
"""Processor time of a HumanEval problem, for all calls of its test."""

_PATIENCE = 3
"""Wall-clock seconds for each second of processor time, so that other work on the machine fails no program."""

Reason = Literal["timeout", "memory", "output", "processes", "crash", "wrong", "error"]
"""`error`: the test itself cannot be read."""


class Outcome(NamedTuple):
    """Result of a program: whether it passed every test, and the reason of the first failure."""

    passed: bool
    reason: Reason | None = None


PASSED, WRONG = Outcome(True), Outcome(False, "wrong")


def limits_of(seconds: int) -> Limits:
    """Make limits for `seconds` of processor time."""
    return Limits(cpu_seconds=seconds, wall_seconds=float(_PATIENCE * seconds))


def judge(sandbox: Sandbox, source: str, gold: Cases | Check, limits: Limits | None = None) -> Outcome:
    """Run a program on every test, up to the first failure. `limits`: of one test, if not the benchmark's."""
    if isinstance(gold, Check):
        return _check(sandbox, source, gold, limits or limits_of(CHECK_SECONDS))
    limits = limits or limits_of(SECONDS)
    if gold.function:
        return _call_all(sandbox, source, gold.function, cases_of(gold), limits)
    return _feed_all(sandbox, source, cases_of(gold), limits)


def assembled(source: str, gold: Check) -> tuple[str, str]:
    """Split a HumanEval program: the prompt's definitions before its last function, and the model's program.

    Where the model wrote only the function's body, its program begins with the prompt.
    """
    if not re.search(rf"^(async\s+)?def\s+{re.escape(gold.function)}\s*\(", source, re.MULTILINE):
        return "", gold.prompt + source
    return gold.prompt.rpartition(f"def {gold.function}(")[0], source


def reason_of(ended: Ended) -> Reason:
    """Name the reason why a program did not end well."""
    if ended.why in ("cpu", "wall"):
        return "timeout"
    return "crash" if ended.why == "exited" else ended.why  # type: ignore[return-value]


def driver(name: str, **more: bytes) -> dict[str, bytes]:
    """Collect the files of a sandbox that runs `inside/NAME.py`."""
    folder = files("hyperscale.grading.code") / "inside"
    names = (name, "channel", "guard", "prelude", "serve", "values")
    return {f"{each}.py": (folder / f"{each}.py").read_bytes() for each in names} | {
        f"{each}.py": content for each, content in more.items()
    }


def _feed_all(sandbox: Sandbox, source: str, cases: Sequence[Case], limits: Limits) -> Outcome:
    """Run a process for each test."""
    program = Program.script(source)
    deadline = time.monotonic() + _backstop(len(cases))
    for case in cases:
        if time.monotonic() > deadline:
            return Outcome(False, "timeout")
        ended = sandbox.run(program, limits, case.given.encode("utf-8", "replace"))
        if not ended.well:
            return Outcome(False, reason_of(ended))
        if not same_output(ended.stdout.decode("utf-8", "replace"), case.expected):
            return WRONG
    return PASSED


def _call_all(sandbox: Sandbox, source: str, function: str, cases: Sequence[Case], limits: Limits) -> Outcome:
    """Run a fork for each test."""
    alone = "alone" if sandbox.isolates else "shared"
    files = driver("call", program=source.encode("utf-8", "replace"))
    program = Program(("/box/call.py", function, "json", alone), files)
    with sandbox.start(program, replace(limits, wall_seconds=_backstop(len(cases)))) as running:
        for case in cases:
            try:
                given, expected = json_lines(case.given), parse_json(case.expected)
            except ValueError:
                return Outcome(False, "error")
            answer = running.ask(json.dumps(given).encode(), limits.wall_seconds)
            if answer is None:
                return Outcome(False, reason_of(running.close()))
            produced = _value(answer)
            if isinstance(produced, Outcome):
                return produced
            if not same_value(_untupled(produced), expected):
                return WRONG
    return PASSED


def parse_json(text: str) -> object:
    """Parse JSON with integers of any length; ValueError where it is invalid."""
    return json.loads(text, parse_int=lambda digits: int(Decimal(digits)))


def json_lines(given: str) -> str:
    """Check a function's arguments, a line of JSON each, and drop empty lines at the end; ValueError if invalid."""
    given = given.rstrip()
    for line in given.split("\n"):
        parse_json(line)
    return given


def _backstop(tests: int) -> float:
    """Limit all tests together: LiveCodeBench's wall-clock seconds, times _PATIENCE."""
    return float(_PATIENCE * ((SECONDS + 1) * tests + 5))


def _value(answer: bytes) -> object:
    """Read a call's value, or the outcome where it returned none."""
    kind, _, value = answer.partition(b" ")
    if kind != b"value":
        return Outcome(False, "timeout" if kind == b"timeout" else "crash")
    try:
        return values.loads(value)
    except ValueError:
        return WRONG


def _untupled(value: object) -> object:
    """Turn tuples into lists at any depth: LeetCode states its answers in JSON, which has lists alone."""
    if isinstance(value, (list, tuple)):
        return [_untupled(item) for item in value]
    if isinstance(value, dict):
        return {key: _untupled(item) for key, item in value.items()}
    return value


def _check(sandbox: Sandbox, source: str, gold: Check, limits: Limits) -> Outcome:
    """Run the test in one sandbox, the program in another: neither sees the other's memory."""
    before, program = (part.encode("utf-8", "replace") for part in assembled(source, gold))
    test = f"{gold.prompt}\n    pass\n{gold.test}\n".encode("utf-8", "replace")
    alone = "alone" if sandbox.isolates else "shared"
    tester = Program(("/box/check.py", gold.function), driver("check", test=test))
    files = driver("call", before=before, program=program)
    candidate = Program(("/box/call.py", gold.function, "values", alone), files)
    with sandbox.start(tester, limits) as testing, sandbox.start(candidate, limits) as running:
        line = b"begin"
        while (said := testing.ask(line, limits.wall_seconds)) is not None:
            kind, _, arguments = said.partition(b" ")
            if kind != b"call":
                return PASSED if said == b"passed" else WRONG
            answer = running.ask(arguments, limits.wall_seconds)
            if answer is None:
                return Outcome(False, reason_of(running.close()))
            if answer == b"timeout":
                return Outcome(False, "timeout")
            line = answer
        return Outcome(False, reason_of(testing.close()))
