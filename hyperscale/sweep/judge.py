"""Verdicts for finished problems, made beside generation: chains cut at every L, graded, and voted on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Self

import pandas as pd

from hyperscale.analysis.outcomes import SAMPLE_COLUMNS, outcomes
from hyperscale.grading import GradeRequest, GraderRef, GradingPool
from hyperscale.plan.grid import Point
from hyperscale.results.sample import Row
from hyperscale.results.schema import GRADE_KEY, SAMPLE_KEY

CASE_COLUMNS = [*SAMPLE_COLUMNS, "text", "text_ends"]
"""The columns of samples that judging needs: token ids stay on disk."""

_GRADED = (*GRADE_KEY, "chain")


@dataclass(frozen=True)
class Judged:
    """A problem of a run whose threads are all there: the grades that were missing, and its outcomes."""

    run_id: str
    problem_id: str
    grades: list[Row]
    outcomes: pd.DataFrame


@dataclass(frozen=True)
class Case:
    """A finished problem: CASE_COLUMNS of every sample of its pool, and the grade rows that it already has."""

    grader: str | GraderRef
    aggregate: str
    gold: str
    points: tuple[Point, ...]
    """The (W, L) that its run covers."""
    samples: list[Row] = field(default_factory=list)
    grades: list[Row] = field(default_factory=list)


class Judge:
    """Judges cases in the background, in the order in which they come; the verdicts are fetched with `done`.

    One thread waits for the grading processes, so that the engine goes on generating meanwhile.
    """

    def __init__(self, seed: int, pool: GradingPool) -> None:
        self._seed = seed
        self._pool = pool
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="judge")
        self._pending: deque[Future[Judged]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._thread.shutdown(wait=kind is None, cancel_futures=True)

    def submit(self, case: Case, answer_prefix: str) -> None:
        """Queue a case. `answer_prefix`: what the chat template opened the answer with, such as `<think>`."""
        self._pending.append(self._thread.submit(self._judge, case, answer_prefix))

    def done(self, *, wait: bool = False) -> Iterator[Judged]:
        """Verdicts that are ready, oldest first; with `wait`, all that are queued."""
        while self._pending and (wait or self._pending[0].done()):
            yield self._pending.popleft().result()

    def _judge(self, case: Case, answer_prefix: str) -> Judged:
        grades = self._missing_grades(case, answer_prefix)
        task = case.samples[0]["task"]
        found = outcomes(
            pd.DataFrame(case.samples),
            pd.DataFrame([*case.grades, *grades]),
            case.points,
            {task: case.aggregate},
            lambda _, answers: self._pool.classes(case.grader, answers),
            self._seed,
        )
        return Judged(case.samples[0]["run_id"], case.samples[0]["problem_id"], grades, found)

    def _missing_grades(self, case: Case, prefix: str) -> list[Row]:
        graded = {tuple(row[name] for name in _GRADED) for row in case.grades}
        rows = [
            {**{name: sample[name] for name in SAMPLE_KEY}, "chain": sample["chain"], "length": length}
            | cut(sample, length)
            for sample in case.samples
            for length in sorted({length for _, length in case.points})
            if length <= sample["length_cap"]
        ]
        rows = [row for row in rows if tuple(row[name] for name in _GRADED) not in graded]
        requests = [
            GradeRequest(case.grader, prefix + row.pop("text"), case.gold, not row["truncated"]) for row in rows
        ]
        try:
            verdicts = self._pool.grade(requests)
        except ValueError as error:
            raise ValueError(
                f"task {case.samples[0]['task']}, problem {case.samples[0]['problem_id']}: {error}"
            ) from None
        return [{**row, **verdict._asdict()} for row, verdict in zip(rows, verdicts, strict=True)]


def cut(sample: Mapping[str, Any], length: int) -> Row:
    """What a cap of `length` tokens, prompt included, would have left of a chain: text, and whether it cut.

    `sample` is a row of samples whose `length_cap` is at least `length`.
    """
    kept = min(max(length - sample["prompt_tokens"], 0), sample["generated_tokens"])
    whole = sample["finish_reason"] == "stop" and kept == sample["generated_tokens"]
    return {"text": sample["text"][: sample["text_ends"][kept - 1]] if kept else "", "truncated": not whole}
