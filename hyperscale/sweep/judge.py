"""Judge finished problems beside generation: truncate chains at every L, grade them, and vote."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Self

import pandas as pd

from hyperscale.analysis.outcomes import SAMPLE_COLUMNS, outcomes
from hyperscale.grading import GradeRequest, GraderRef, GradingPool
from hyperscale.plan.runs import Point
from hyperscale.results.rows import Row
from hyperscale.results.schema import GRADE_KEY, SAMPLE_KEY

JUDGE_COLUMNS = [*SAMPLE_COLUMNS, "text", "text_ends"]
"""Columns of samples that judging needs: token ids stay on disk."""

_GRADED = (*GRADE_KEY, "chain")


@dataclass(frozen=True)
class Judged:
    """A judged problem of a run: the grades that were missing, and its outcomes."""

    run_id: str
    problem_id: str
    grades: list[Row]
    outcomes: pd.DataFrame


@dataclass(frozen=True)
class ProblemSamples:
    """JUDGE_COLUMNS of a problem's stored samples in a run, its stored grades, and how to grade it."""

    grader: str | GraderRef
    aggregate: str
    gold: str
    points: tuple[Point, ...]
    """(W, L) points that its run covers."""
    samples: list[Row] = field(default_factory=list)
    grades: list[Row] = field(default_factory=list)


class Judge:
    """Judges problems in the background, in the order of `submit`; `done` yields the verdicts.

    One thread waits for the grading processes, while the engine generates.
    """

    def __init__(self, seed: int, grading: GradingPool) -> None:
        self._seed = seed
        self._grading = grading
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="judge")
        self._pending: deque[Future[Judged]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._thread.shutdown(wait=kind is None, cancel_futures=True)

    def submit(self, problem: ProblemSamples, answer_prefix: str) -> None:
        """Queue a problem whose threads are all stored. `answer_prefix`: the chat template's tag before an answer."""
        self._pending.append(self._thread.submit(self._judge, problem, answer_prefix))

    def done(self, *, wait: bool = False) -> Iterator[Judged]:
        """Yield finished verdicts, oldest first; with `wait`, all that are queued."""
        while self._pending and (wait or self._pending[0].done()):
            yield self._pending.popleft().result()

    def _judge(self, problem: ProblemSamples, answer_prefix: str) -> Judged:
        grades = self._missing_grades(problem, answer_prefix)
        task = problem.samples[0]["task"]
        found = outcomes(
            problem.samples,
            [*problem.grades, *grades],
            problem.points,
            {task: problem.aggregate},
            lambda _, answers: self._grading.classes(problem.grader, answers),
            self._seed,
        )
        return Judged(problem.samples[0]["run_id"], problem.samples[0]["problem_id"], grades, found)

    def _missing_grades(self, problem: ProblemSamples, prefix: str) -> list[Row]:
        graded = {tuple(row[name] for name in _GRADED) for row in problem.grades}
        rows = [
            {**{name: sample[name] for name in SAMPLE_KEY}, "chain": sample["chain"], "length": length}
            | truncate(sample, length)
            for sample in problem.samples
            for length in sorted({length for _, length in problem.points})
            if length <= sample["length_cap"]
        ]
        rows = [row for row in rows if tuple(row[name] for name in _GRADED) not in graded]
        requests = [
            GradeRequest(problem.grader, prefix + row.pop("text"), problem.gold, not row["truncated"]) for row in rows
        ]
        try:
            verdicts = self._grading.grade(requests)
        except ValueError as error:
            raise ValueError(
                f"task {problem.samples[0]['task']}, problem {problem.samples[0]['problem_id']}: {error}"
            ) from None
        return [{**row, **verdict._asdict()} for row, verdict in zip(rows, verdicts, strict=True)]


def truncate(sample: Mapping[str, Any], length: int) -> Row:
    """Truncate a chain at `length` tokens, prompt included; return its text, and whether it was truncated.

    `sample` is a row of samples whose `length_cap` is at least `length`.
    """
    kept = min(max(length - sample["prompt_tokens"], 0), sample["generated_tokens"])
    whole = sample["finish_reason"] == "stop" and kept == sample["generated_tokens"]
    return {"text": sample["text"][: sample["text_ends"][kept - 1]] if kept else "", "truncated": not whole}
