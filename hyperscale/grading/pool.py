"""Grades chains. What may hang runs in worker processes that are killed when their time is up."""

from __future__ import annotations

import logging
import multiprocessing
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from threading import Lock
from types import TracebackType
from typing import NamedTuple, Self

from pebble import ProcessPool

from hyperscale.grading.choice import choice_answer
from hyperscale.grading.code import CodeGrader, check_gold
from hyperscale.grading.countdown import countdown_answer, countdown_gold, is_solution
from hyperscale.grading.deadline import settle
from hyperscale.grading.extract import visible_text
from hyperscale.grading.final import final_answer, final_normal
from hyperscale.grading.latex import normal_form
from hyperscale.grading.math import equivalent, math_answer
from hyperscale.grading.number import integer_answer, integer_normal, number_answer, number_normal
from hyperscale.grading.verdict import Extraction, GradeRequest, Verdict
from hyperscale.grading.words import words_answer, words_normal

_WORKER_BYTES = 2 << 30
_CLOSED = "the grading pool is closed"
_GRADERS = "math, integer, number, choice, final, countdown, words, code"


class _Outcome(NamedTuple):
    equal: bool
    flag: str | None


def extract(grader: str, text: str, *, finished: bool) -> Extraction:
    """The answer that `grader` finds in a text whose reasoning has been taken off."""
    match grader:
        case "math":
            return math_answer(text)
        case "integer":
            return integer_answer(text)
        case "number":
            return number_answer(text, finished=finished)
        case "choice":
            return choice_answer(text, finished=finished)
        case "final":
            return final_answer(text, finished=finished)
        case "countdown":
            return countdown_answer(text, finished=finished)
        case "words":
            return words_answer(text, finished=finished)
    raise ValueError(f"no grader {grader!r}; there are {_GRADERS}")


def gold_normal(grader: str, gold: str) -> str:
    """Normal form of a gold answer; for `countdown`, of the problem. ValueError if the grader demands another form."""
    match grader:
        case "math":
            normal: str | None = normal_form(gold) or None
        case "integer":
            normal = integer_normal(gold)
        case "number":
            normal = number_normal(gold)
        case "choice":
            normal = gold if gold in ("A", "B", "C", "D") else None
        case "final":
            normal = final_normal(gold)
        case "countdown":
            normal = countdown_gold(gold)
        case "words":
            normal = words_normal(gold)
        case "code":
            check_gold(gold)
            normal = gold
        case _:
            raise ValueError(f"no grader {grader!r}; there are {_GRADERS}")
    if normal is None:
        raise ValueError(f"gold answer {gold!r} cannot be graded by {grader!r}; check the task's answer column")
    return normal


class GradingPool:
    """Grades chains and groups their answers. A context manager; workers start when first needed.

    `programs` judges what the grader `code` is asked; the pool closes it.

    `timeout` is in seconds for one comparison: what takes longer is unequal and flagged `timeout`; what
    kills its worker (memory is capped at 2 GiB) is unequal and flagged `error`. Verdicts on equal pairs are
    remembered, so that W threads with one answer cost one comparison.
    """

    def __init__(self, workers: int = 2, timeout: float = 10.0, programs: CodeGrader | None = None) -> None:
        if workers < 1 or timeout <= 0:
            raise ValueError(f"grading needs at least 1 worker and a time limit above 0, got {workers}, {timeout}")
        self._workers, self._timeout = workers, timeout
        self._programs = programs
        self._pool: ProcessPool | None = None
        self._waiting: set[Future[bool]] = set()
        self._closed = False
        self._lock = Lock()
        self._known: dict[tuple[str, str], _Outcome] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the workers, busy ones too. Whoever waits for them in another thread gets a RuntimeError."""
        with self._lock:
            self._closed = True
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.stop()
            pool.join()
        if self._programs is not None:
            self._programs.close()
        # pebble drops the tasks of a stopped pool: nobody else would ever settle their futures.
        for future in list(self._waiting):
            future.cancel()

    def grade(self, requests: Sequence[GradeRequest]) -> list[Verdict]:
        """Verdicts in the order of the requests."""
        programs = iter(self._grade_programs([request for request in requests if request.grader == "code"]))
        others = iter(self._grade_answers([request for request in requests if request.grader != "code"]))
        return [next(programs if request.grader == "code" else others) for request in requests]

    def _grade_programs(self, requests: Sequence[GradeRequest]) -> list[Verdict]:
        if not requests:
            return []
        assert self._programs is not None, "whoever asks for code gives what judges it"
        texts = [visible_text(request.text) for request in requests]
        verdicts = self._programs.grade(list(zip(requests, texts, strict=True)))
        self._refuse_if_closed()
        return [
            verdict._replace(flag="unclosed_think") if text is None else verdict
            for verdict, text in zip(verdicts, texts, strict=True)
        ]

    def _grade_answers(self, requests: Sequence[GradeRequest]) -> list[Verdict]:
        drafts = [_draft(request) for request in requests]
        open_pairs = {
            (request.gold, draft.answer)
            for request, draft in zip(requests, drafts, strict=True)
            if request.grader == "math" and draft.answer is not None and not draft.correct
        }
        outcomes = self._compare(open_pairs)
        return [
            draft._replace(correct=outcome.equal, flag=outcome.flag)
            if draft.answer is not None and (outcome := outcomes.get((request.gold, draft.answer)))
            else draft
            for request, draft in zip(requests, drafts, strict=True)
        ]

    def classes(self, grader: str, answers: Sequence[tuple[str | None, str | None]]) -> list[int]:
        """Equivalence class (0, 1, ... in order of appearance) of each (answer, normal); -1: no answer, no vote.

        Answers with one normal form are equal. For `math`, two groups are merged when their first answers
        are equal in both directions; an answer that cannot be compared in time stays alone.
        """
        first: dict[str, str] = {}
        for answer, normal in answers:
            if answer is not None and normal is not None:
                first.setdefault(normal, answer)
        class_of = self._merge(first) if grader == "math" else {normal: index for index, normal in enumerate(first)}
        return [-1 if answer is None or normal is None else class_of[normal] for answer, normal in answers]

    def _merge(self, first: dict[str, str]) -> dict[str, int]:
        """Class of each normal form, given the first answer that has it."""
        # What hangs when compared with 0 would hang once more with every other answer.
        probes = self._compare({("0", answer) for answer in first.values()}) if len(first) > 1 else {}
        comparable = {answer for (_, answer), outcome in probes.items() if outcome.flag is None}
        leaders: list[str] = []
        class_of: dict[str, int] = {}
        for normal, answer in first.items():
            others = [leader for leader in leaders if leader in comparable] if answer in comparable else []
            there = self._compare((leader, answer) for leader in others)
            back = self._compare((answer, leader) for leader in others if there[leader, answer].equal)
            equal = [leader for (_, leader), outcome in back.items() if outcome.equal]
            if equal:
                class_of[normal] = min(leaders.index(leader) for leader in equal)
            else:
                class_of[normal] = len(leaders)
                leaders.append(answer)
        return class_of

    def _compare(self, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], _Outcome]:
        """Outcome of `equivalent` for each (gold, answer), from memory or from the workers."""
        pairs = set(pairs)
        futures = {pair: self._submit(pair) for pair in sorted(pairs - self._known.keys())}
        self._waiting = set(futures.values())
        # A close that came before this line has not seen the futures; one that comes after it cancels them.
        self._refuse_if_closed()
        late = settle(futures.values(), self._timeout)
        for pair, future in futures.items():
            outcome = _Outcome(False, "timeout") if future in late else _outcome(future)
            # pebble may settle the tasks of a stopped pool as if their worker had died: that is no verdict.
            self._refuse_if_closed()
            self._known[pair] = outcome
        self._waiting = set()
        return {pair: self._known[pair] for pair in pairs}

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise RuntimeError(_CLOSED)

    def _submit(self, pair: tuple[str, str]) -> Future[bool]:
        with self._lock:
            self._refuse_if_closed()
            if self._pool is None:
                # Forking a process that runs threads (torch has many) can deadlock the child.
                spawn = multiprocessing.get_context("spawn")
                self._pool = ProcessPool(max_workers=self._workers, context=spawn, initializer=_start_worker)
            return self._pool.schedule(equivalent, args=pair)


def _draft(request: GradeRequest) -> Verdict:
    """Verdict as far as it is decided without comparing in a worker."""
    gold = gold_normal(request.grader, request.gold)
    text = visible_text(request.text)
    if text is None:
        return Verdict(None, None, False, "unclosed_think")
    answer, normal = extract(request.grader, text, finished=request.finished)
    right = is_solution(answer, gold) if request.grader == "countdown" else normal is not None and normal == gold
    return Verdict(answer, normal, right, None)


def _outcome(future: Future[bool]) -> _Outcome:
    try:
        return _Outcome(future.result(), None)
    except TimeoutError:
        return _Outcome(False, "timeout")
    except CancelledError:
        raise RuntimeError(_CLOSED) from None
    except Exception:
        # A dead worker (ProcessExpired), MemoryError, or whatever sympy raises on what no one should ask of it.
        return _Outcome(False, "error")


def _start_worker() -> None:
    """Cap the memory, silence math-verify's warnings on time limits that the pool keeps, import what is slow."""
    logging.disable(logging.CRITICAL)
    if sys.platform != "win32":
        import resource

        # macOS refuses to cap the address space; there the time limit alone holds.
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_AS, (_WORKER_BYTES, _WORKER_BYTES))
    import math_verify  # noqa: F401
