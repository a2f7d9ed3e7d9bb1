"""Grade chains. Comparisons that may hang run in worker processes, killed at a time limit."""

from __future__ import annotations

import logging
import multiprocessing
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from importlib import import_module
from threading import Lock
from types import TracebackType
from typing import NamedTuple, Self

from pebble import ProcessPool

from hyperscale.grading.base import Grader, GradeRequest, GraderRef, Verdict, visible_text
from hyperscale.grading.code import CodeGrader
from hyperscale.grading.deadline import settle
from hyperscale.grading.registry import load_grader

_WORKER_BYTES = 2 << 30
_CLOSED = "the grading pool is closed"

_Ref = str | GraderRef | Grader
_Pair = tuple[str, str]
"""A gold and an answer, or two answers, as written."""


class _Comparison(NamedTuple):
    equal: bool
    flag: str | None


class GradingPool:
    """Grade chains and group their answers. A context manager; workers start when first needed.

    `programs` judges the requests of the grader `code`; the pool closes it.

    `timeout` is in seconds for one comparison: a longer one counts as unequal and is flagged `timeout`; one that
    kills its worker (memory is capped at 2 GiB) counts as unequal and is flagged `error`. Comparisons are cached, so
    that W threads with one answer cost one comparison.
    """

    def __init__(self, workers: int = 2, timeout: float = 10.0, programs: CodeGrader | None = None) -> None:
        if workers < 1 or timeout <= 0:
            raise ValueError(f"grading needs at least 1 worker and a time limit above 0, got {workers}, {timeout}")
        self._workers, self._timeout = workers, timeout
        self._programs = programs
        self._pools: dict[_Ref, ProcessPool] = {}
        self._waiting: set[Future[bool]] = set()
        self._closed = False
        self._lock = Lock()
        self._known: dict[_Ref, dict[_Pair, _Comparison]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the workers, busy ones too. A call that waits for them in another thread raises RuntimeError."""
        with self._lock:
            self._closed = True
            pools, self._pools = list(self._pools.values()), {}
        for pool in pools:
            pool.stop()
        for pool in pools:
            pool.join()
        if self._programs is not None:
            self._programs.close()
        # pebble drops the tasks of a stopped pool and never settles their futures.
        for future in list(self._waiting):
            future.cancel()

    def grade(self, requests: Sequence[GradeRequest]) -> list[Verdict]:
        """Grade requests, in their order. ValueError for a grader that cannot be loaded, or an invalid gold."""
        graders = {request.grader: load_grader(request.grader) for request in requests}
        sandboxed = [graders[request.grader].sandboxed for request in requests]
        programs = iter(self._grade_programs([it for it, yes in zip(requests, sandboxed, strict=True) if yes]))
        others = iter(
            self._grade_answers([it for it, yes in zip(requests, sandboxed, strict=True) if not yes], graders)
        )
        return [next(programs if yes else others) for yes in sandboxed]

    def _grade_programs(self, requests: Sequence[GradeRequest]) -> list[Verdict]:
        if not requests:
            return []
        assert self._programs is not None, "requests of the grader code need a CodeGrader"
        texts = [visible_text(request.text) for request in requests]
        verdicts = self._programs.grade(list(zip(requests, texts, strict=True)))
        self._refuse_if_closed()
        return [
            verdict._replace(flag="unclosed_think") if text is None else verdict
            for verdict, text in zip(verdicts, texts, strict=True)
        ]

    def _grade_answers(self, requests: Sequence[GradeRequest], graders: Mapping[_Ref, Grader]) -> list[Verdict]:
        drafts = [_draft(graders[request.grader], request) for request in requests]
        open_pairs: dict[_Ref, set[_Pair]] = {}
        for request, draft in zip(requests, drafts, strict=True):
            if graders[request.grader].compares and draft.answer is not None and not draft.correct:
                open_pairs.setdefault(request.grader, set()).add((request.gold, draft.answer))
        decided = {
            (grader, *pair): found
            for grader, pairs in open_pairs.items()
            for pair, found in self._compare(grader, pairs).items()
        }
        return [
            draft._replace(correct=found.equal, flag=found.flag)
            if draft.answer is not None and (found := decided.get((request.grader, request.gold, draft.answer)))
            else draft
            for request, draft in zip(requests, drafts, strict=True)
        ]

    def classes(self, grader: _Ref, answers: Sequence[tuple[str | None, str | None]]) -> list[int]:
        """Assign each (answer, normal) an equivalence class: 0, 1, ... in order of appearance; -1: no answer, no vote.

        Answers with one normal form are equal. Where the grader compares, two groups are merged when their first
        answers are equal in both directions; an answer that cannot be compared in time is a class of its own.
        """
        first: dict[str, str] = {}
        for answer, normal in answers:
            if answer is not None and normal is not None:
                first.setdefault(normal, answer)
        made = load_grader(grader)
        if made.compares:
            class_of = self._merge(grader, made.probe, first)
        else:
            class_of = {normal: index for index, normal in enumerate(first)}
        return [-1 if answer is None or normal is None else class_of[normal] for answer, normal in answers]

    def _merge(self, grader: _Ref, probe: str | None, first: Mapping[str, str]) -> dict[str, int]:
        """Assign a class to each normal form, given the first answer that has it."""
        # An answer that hangs when compared with the probe would hang again with every other answer.
        asked = {(answer if probe is None else probe, answer) for answer in first.values()} if len(first) > 1 else ()
        probes = self._compare(grader, asked)
        comparable = {answer for (_, answer), found in probes.items() if found.flag is None}
        leaders: list[str] = []
        class_of: dict[str, int] = {}
        for normal, answer in first.items():
            others = [leader for leader in leaders if leader in comparable] if answer in comparable else []
            there = self._compare(grader, ((leader, answer) for leader in others))
            back = self._compare(grader, ((answer, leader) for leader in others if there[leader, answer].equal))
            equal = [leader for (_, leader), found in back.items() if found.equal]
            if equal:
                class_of[normal] = min(leaders.index(leader) for leader in equal)
            else:
                class_of[normal] = len(leaders)
                leaders.append(answer)
        return class_of

    def _compare(self, grader: _Ref, pairs: Iterable[_Pair]) -> dict[_Pair, _Comparison]:
        """Compare each pair by the grader's `equal`, from the cache or in the workers."""
        pairs = set(pairs)
        known = self._known.setdefault(grader, {})
        futures = {pair: self._submit(grader, pair) for pair in sorted(pairs - known.keys())}
        self._waiting = set(futures.values())
        # A close before this line has not seen the futures; one after it cancels them.
        self._refuse_if_closed()
        late = settle(futures.values(), self._timeout)
        for pair, future in futures.items():
            found = _Comparison(False, "timeout") if future in late else _settled(future)
            # pebble may settle the tasks of a stopped pool as if their worker had died: not a verdict.
            self._refuse_if_closed()
            known[pair] = found
        self._waiting = set()
        return {pair: known[pair] for pair in pairs}

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise RuntimeError(_CLOSED)

    def _submit(self, grader: _Ref, pair: _Pair) -> Future[bool]:
        with self._lock:
            self._refuse_if_closed()
            if grader not in self._pools:
                # Forking a process that runs threads (torch has many) can deadlock the child.
                spawn = multiprocessing.get_context("spawn")
                self._pools[grader] = ProcessPool(
                    max_workers=self._workers, context=spawn, initializer=_start_worker, initargs=(grader,)
                )
            future: Future[bool] = self._pools[grader].schedule(_equal, args=(grader, *pair))
            return future


def _draft(grader: Grader, request: GradeRequest) -> Verdict:
    """Decide a verdict as far as possible without comparing in a worker."""
    gold = grader.gold(request.gold)
    text = visible_text(request.text)
    if text is None:
        return Verdict(None, None, False, "unclosed_think")
    found = grader.extract(text, finished=request.finished)
    return Verdict(found.answer, found.normal, grader.right(gold, found), found.flag)


def _equal(grader: _Ref, gold: str, answer: str) -> bool:
    """Compare in a worker. Equal bytes of a plugin's file are loaded once a process."""
    return load_grader(grader).equal(gold, answer)


def _settled(future: Future[bool]) -> _Comparison:
    try:
        return _Comparison(future.result(), None)
    except TimeoutError:
        return _Comparison(False, "timeout")
    except CancelledError:
        raise RuntimeError(_CLOSED) from None
    except Exception:
        # A dead worker (ProcessExpired), MemoryError, or any error of sympy on absurd input.
        return _Comparison(False, "error")


def _start_worker(grader: _Ref) -> None:
    """Cap memory, silence math-verify's warnings on time limits (the pool keeps them), import slow modules."""
    logging.disable(logging.CRITICAL)
    if sys.platform != "win32":
        import resource

        # macOS refuses to cap the address space; there the time limit alone holds.
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_AS, (_WORKER_BYTES, _WORKER_BYTES))
    for module in load_grader(grader).imports:
        import_module(module)
