"""Grade chains that hold programs: find them and run them under both graders, several at a time."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal, NamedTuple

from hyperscale.grading.base import NOTHING, Extraction, Grader, GradeRequest, Verdict
from hyperscale.grading.code import official, strict
from hyperscale.grading.code.gold import Check, check_gold, parse_gold
from hyperscale.sandbox import Description, Sandbox

_FENCE = re.compile(r"^([ \t]*)(`{3,}|~{3,})[ \t]*([^`\n]*)$")
_PYTHON = ("", "py", "python", "python2", "python3")

CodeGrading = Literal["strict", "official"]
"""The grader whose verdict counts; the other's is recorded."""

_MOST_WORKERS = 16

_SECOND_LOOK = ("timeout", "memory", "output", "processes", "error")


class Block(NamedTuple):
    """A program, None where there is none; `open`: a later fenced block begins and never ends."""

    source: str | None
    open: bool


def last_block(text: str, function: str | None = None) -> Block:
    """Find the last complete fenced block of Python, or without a language.

    With a `function`, the last that defines it, if one does: many answers go on with an example of its use.
    """
    blocks, is_open = _blocks(text)
    if function is not None:
        defines = re.compile(rf"^[ \t]*(async[ \t]+)?def[ \t]+{re.escape(function)}[ \t]*\(", re.MULTILINE)
        blocks = [block for block in blocks if defines.search(block)] or blocks
    return Block(blocks[-1] if blocks else None, is_open)


def between_last_fences(text: str) -> str:
    """Find LiveCodeBench's program: the lines between the last two that hold three backticks; empty without two."""
    lines = text.split("\n")
    fences = [index for index, line in enumerate(lines) if "```" in line]
    return "\n".join(lines[fences[-2] + 1 : fences[-1]]) if len(fences) >= 2 else ""


def _blocks(text: str) -> tuple[list[str], bool]:
    """List complete blocks of Python, and tell whether the last fence opens a block that never ends."""
    blocks: list[str] = []
    mark: str | None = None
    indent = ""
    kept = False
    lines: list[str] = []
    for line in text.replace("\r\n", "\n").split("\n"):
        found = _FENCE.match(line)
        if mark is None:
            if found:
                language = found[3].strip().lower().split(" ")[0].strip("{}.")
                indent, mark, kept, lines = found[1], found[2], language in _PYTHON, []
        # A fence deeper than a list can be is part of the code, as in a docstring.
        elif found and len(found[1]) <= len(indent) + 3 and _closes(found, mark):
            if kept:
                blocks.append("\n".join(lines) + "\n")
            mark = None
        else:
            # A block in a list is indented as a whole.
            lines.append(line.removeprefix(indent))
    return blocks, mark is not None


def _closes(found: re.Match[str], mark: str) -> bool:
    return found[2][0] == mark[0] and len(found[2]) >= len(mark) and not found[3].strip()


class _Programs(NamedTuple):
    """The program that each grader finds in a chain; None, or empty, where it finds none."""

    strict: str | None
    official: str
    open: bool


class Code(Grader):
    """Grader of programs. CodeGrader judges them, by the function and the tests that the gold names."""

    name = "code"
    sandboxed = True

    def extract(self, text: str, *, finished: bool) -> Extraction:
        """Find the last complete program, without asking for a function."""
        source = last_block(text, None).source
        return NOTHING if source is None else Extraction(source, self.normal(source))

    def normal(self, answer: str) -> str | None:
        """Hash the program to 16 hex digits of SHA-256: only identical programs are equal."""
        return _digest(answer)

    def gold(self, text: str) -> str:
        """Check that the gold holds tests."""
        check_gold(text)
        return text


class CodeGrader:
    """Grader of programs in a sandbox, `workers` at a time (half the cores, 16 at most). It caches verdicts.

    It owns the sandbox, and closes it.
    """

    def __init__(self, sandbox: Sandbox, counts: CodeGrading = "strict", workers: int | None = None) -> None:
        self._sandbox = sandbox
        self._counts = counts
        workers = workers or min(_MOST_WORKERS, max(2, (os.cpu_count() or 2) // 2))
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="programs")
        self._known: dict[tuple[str, str], Future[strict.Outcome]] = {}

    def grade(self, requests: Sequence[tuple[GradeRequest, str | None]]) -> list[Verdict]:
        """Grade pairs (request, its text without reasoning; None where reasoning never ended)."""
        drafts = [(request, _programs(text, request.gold)) for request, text in requests]
        futures = [(self._judge("strict", *draft), self._judge("official", *draft)) for draft in drafts]
        return [
            self._verdict(
                programs, by_strict.result() if by_strict else None, by_official.result() if by_official else None
            )
            for (_, programs), (by_strict, by_official) in zip(drafts, futures, strict=True)
        ]

    def describe(self) -> Description:
        """Describe the sandbox, for the manifest."""
        return self._sandbox.describe()

    def close(self) -> None:
        """End running programs and cancel waiting ones."""
        self._sandbox.close()
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _judge(self, grader: CodeGrading, request: GradeRequest, programs: _Programs) -> Future[strict.Outcome] | None:
        source = programs.strict if grader == "strict" else programs.official
        if not source:
            return None
        key = (grader, hashlib.sha256(f"{request.gold}\0{source}".encode("utf-8", "replace")).hexdigest())
        if key not in self._known:
            judge = strict.judge if grader == "strict" else official.judge
            self._known[key] = self._threads.submit(judge, self._sandbox, source, parse_gold(request.gold))
        return self._known[key]

    def _verdict(
        self, programs: _Programs, by_strict: strict.Outcome | None, by_official: strict.Outcome | None
    ) -> Verdict:
        passes, passes_official = bool(by_strict and by_strict.passed), bool(by_official and by_official.passed)
        counted = by_strict if self._counts == "strict" else by_official
        flag = "unclosed_fence" if programs.open else None
        if counted is not None and counted.reason in _SECOND_LOOK:
            flag = counted.reason
        answer = programs.strict if self._counts == "strict" else programs.official or None
        return Verdict(
            answer,
            None if answer is None else _digest(answer),
            passes if self._counts == "strict" else passes_official,
            flag,
            strict=passes,
            official=passes_official,
            graders_differ=passes != passes_official,
        )


def _digest(source: str) -> str:
    return hashlib.sha256(source.encode("utf-8", "replace")).hexdigest()[:16]


def _programs(text: str | None, gold: str) -> _Programs:
    if text is None:
        return _Programs(None, "", False)
    tests = parse_gold(gold)
    block = last_block(text, tests.function)
    # HumanEval's own grader takes the program as given, so it gets the one found here.
    by_official = (block.source or "") if isinstance(tests, Check) else between_last_fences(text)
    return _Programs(block.source, by_official, block.open)
