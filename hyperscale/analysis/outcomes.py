"""Compute outcomes from samples and grades: cost and score of every (W, L) on every problem."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from hyperscale.analysis.cuts import CUT_COLUMNS, Cut, CuttableThread
from hyperscale.analysis.peaks import expected_union, lockstep_peaks, subset_seed
from hyperscale.analysis.throughput import untimed
from hyperscale.grading.aggregate import subsets
from hyperscale.grading.registry import load_aggregate
from hyperscale.results.rows import Row, frame_to_arrow, records
from hyperscale.results.schema import ACCOUNTINGS, OUTCOME_KEY, OUTCOMES, SAMPLE_KEY

Answers = Sequence[tuple[str | None, str | None]]
Classes = Callable[[str, Answers], list[int]]

_THREAD = ["model", "compression_ratio", "chain", "engine", "accounting", "device_bytes"]
SAMPLE_COLUMNS = list(dict.fromkeys([*SAMPLE_KEY, *_THREAD, "prefill_seconds", "page_bytes", *CUT_COLUMNS]))
"""Columns of samples that `outcomes` needs; tokens and texts are not among them."""

_COLUMNS = [column.name for column in OUTCOMES]


class _Member(NamedTuple):
    """A thread of a pool: its place among the problem's, cut at L, with its grade."""

    place: int
    cut: Cut
    answer: tuple[str | None, str | None]
    correct: bool


def outcomes(
    samples: pd.DataFrame | Sequence[Row],
    grades: pd.DataFrame | Sequence[Row],
    grid: Sequence[tuple[int, int]],
    aggregates: Mapping[str, str],
    classes: Classes,
    seed: int = 0,
) -> pd.DataFrame:
    """Compute OUTCOMES for every (W, L) of `grid` and every problem whose pool at L holds W graded threads.

    The pool at L is the threads with `length_cap` >= L: a thread with a smaller cap that stopped early would fit too,
    but taking it without its truncated neighbours would favour short chains (`Store.raise_caps`). A chain longer than
    L is cut to its first L - P tokens. Where P >= L nothing runs: no answer, no reads, and the prompt as the peak.
    Sums over threads are exact expectations over W-subsets of the pool: W times its mean. Peaks in lockstep and votes
    are averaged over the same subsets (`aggregate.subsets`). `classes(task, [(answer, normal), ...])` gives each answer
    of a pool its equivalence class, -1 where it is missing. ValueError: a task without an aggregate, or two runs with
    one outcome.
    """
    problems: dict[tuple[str, ...], list[Row]] = {}
    for row in _rows(samples):
        problems.setdefault((row["run_id"], row["task"], row["problem_id"]), []).append(row)
    if unnamed := {task for _, task, _ in problems} - aggregates.keys():
        raise ValueError(f"no aggregate for the sampled task {', '.join(sorted(unnamed))}")
    verdicts = {tuple(row[name] for name in (*SAMPLE_KEY, "length", "chain")): row for row in _rows(grades)}
    rows = [
        row
        for threads in problems.values()
        for row in _of_problem(threads, verdicts, sorted(set(grid)), aggregates, classes, seed)
    ]
    seen = set()
    for row in rows:
        key = tuple(row[name] for name in OUTCOME_KEY)
        if key in seen:
            named = dict(zip(OUTCOME_KEY, key, strict=True))
            raise ValueError(f"two runs give the same outcome, {named}: keep them in two results folders")
        seen.add(key)
    rows.sort(key=lambda row: tuple(row[name] for name in OUTCOME_KEY))
    frame = untimed(pd.DataFrame(rows, columns=_COLUMNS))
    table: pd.DataFrame = frame_to_arrow("outcomes", frame).to_pandas()
    return table


def _rows(table: pd.DataFrame | Sequence[Row]) -> Sequence[Row]:
    return records(table) if isinstance(table, pd.DataFrame) else table


def _of_problem(
    samples: Sequence[Row], verdicts: Mapping[tuple[Any, ...], Row], grid: Sequence[tuple[int, int]],
    aggregates: Mapping[str, str], classes: Classes, seed: int,
) -> Iterator[Row]:  # fmt: skip
    """Compute the outcomes of one problem in one run."""
    threads = [CuttableThread(sample) for sample in sorted(samples, key=lambda sample: int(sample["thread"]))]
    task, draws = samples[0]["task"], subset_seed(seed, samples[0]["task"], samples[0]["problem_id"])
    aggregate = load_aggregate(aggregates[task])
    pools = {length: _pool(threads, verdicts, length) for length in sorted({length for _, length in grid})}
    peaks = _peaks(threads, pools, grid, draws)
    for length, pool in pools.items():
        widths = [width for width, at in grid if at == length and width <= len(pool)]
        if not widths:
            continue
        voted = classes(task, [member.answer for member in pool]) if aggregate.votes else []
        correct = [member.correct for member in pool]
        costs = _PoolCosts(threads, pool, length)
        for width in widths:
            accuracy, tied = aggregate.score(voted, correct, width, seed=draws)
            row = costs.of(width) | {"accuracy": accuracy, "tied": tied}
            if (width, length) in peaks:
                row["peak_tokens"], row["peak_bytes"] = peaks[width, length]
            yield row


def _pool(threads: Sequence[CuttableThread], verdicts: Mapping[tuple[Any, ...], Row], length: int) -> list[_Member]:
    """Select the threads of the pool at L: those whose cap reaches it and, unless the prompt fills L, with a grade."""
    pool = []
    for place, thread in enumerate(threads):
        # A budget that L does not exceed compresses nothing: it makes no point of a budget-bound backend.
        if thread.cap < length or (thread.budget is not None and length < thread.budget):
            continue
        key = (*(thread.sample[name] for name in SAMPLE_KEY), length, thread.sample["chain"])
        verdict = verdicts.get(key)
        if not thread.generated(length):
            pool.append(_Member(place, thread.cut(length), (None, None), False))
        elif verdict is not None and not pd.isna(verdict["correct"]):
            answer, normal = (None if pd.isna(verdict[name]) else verdict[name] for name in ("answer", "normal"))
            pool.append(_Member(place, thread.cut(length), (answer, normal), bool(verdict["correct"])))
    return pool


def _peaks(
    threads: Sequence[CuttableThread], pools: Mapping[int, list[_Member]], grid: Sequence[tuple[int, int]], draws: int
) -> dict[tuple[int, int], tuple[float, float]]:
    """Compute (peak_tokens, peak_bytes) in lockstep of every (W, L) that runs."""
    # One pass over the steps serves every L at which the same threads are the pool.
    passes: dict[tuple[tuple[int, ...], int], list[int]] = {}
    for width, length in grid:
        pool = pools[length]
        if width <= len(pool) and pool[0].cut.generated:
            passes.setdefault((tuple(member.place for member in pool), width), []).append(length)
    found = {}
    for (members, width), lengths in passes.items():
        first, chosen = threads[members[0]], subsets(len(members), width, draws)
        cuts = [length - first.prompt for length in lengths]
        peaks = lockstep_peaks([threads[member].trace for member in members], chosen, cuts)
        page_bytes = first.sample["page_bytes"]
        for length, tokens, pages in zip(lengths, peaks.tokens_e, peaks.pages_e, strict=True):
            found[width, length] = float(tokens) / first.rows, float(pages) * page_bytes
    return found


class _PoolCosts:
    """Costs of a pool at one L: sums over W threads are W times the pool's mean."""

    def __init__(self, threads: Sequence[CuttableThread], pool: Sequence[_Member], length: int) -> None:
        members = [threads[member.place] for member in pool]
        first, samples = members[0], [thread.sample for thread in members]
        self._pool, self._page_bytes, self._vllm = len(pool), first.sample["page_bytes"], samples[0]["engine"] == "vllm"
        cuts = np.array([member.cut for member in pool], np.float64)
        means = dict(zip(Cut._fields, cuts.mean(axis=0).tolist(), strict=True))
        self._fits = pool[0].cut.generated > 0
        # A mean over only the threads with a known ceiling would be compared with the seconds of all: none then.
        self._means = means
        self._sharers = np.sum([thread.shared(length) for thread in members], axis=0)
        self._prefill, self._batch = (
            _mean([sample[name] for sample in samples]) if self._fits else 0.0
            for name in ("prefill_seconds", "batch_threads")
        )
        held = [sample["device_bytes"] for sample in samples if not pd.isna(sample["device_bytes"])]
        ratio = first.sample["compression_ratio"] if first.budget is None else length / first.budget
        self._same = {
            **{name: first.sample[name] for name in ("model", "task", "backend", "problem_id", "engine")},
            "compression_ratio": float(ratio),
            "length": length,
            "pool": len(pool),
            "prompt_fits": self._fits,
            "device_bytes": float(max(held)) if held else None,
            "accounting": max((sample["accounting"] for sample in samples), key=ACCOUNTINGS.index),
            "batch_threads": self._batch,
            **{name: means[name] for name in ("mean_length", "truncated_share", "realised_ratio")},
        }

    def of(self, width: int) -> Row:
        """Return the columns of OUTCOMES but the score; the peaks are those of threads that do not run in lockstep."""
        means = self._means
        # vLLM's prefill is part of its steps: `seconds` of W threads holds their share of it.
        share = width / self._pool if self._vllm else 1.0
        tokens = width * means["peak_tokens_sum"]
        shared = expected_union(self._sharers, self._pool, width)
        pages = (shared + width * means["pages"]) * self._page_bytes
        return {
            **self._same,
            "width": width,
            "kv_reads": width * means["kv_reads"],
            "peak_tokens": tokens,
            "peak_tokens_sum": tokens,
            "peak_bytes": pages,
            "peak_bytes_sum": pages,
            "as_run_seconds": self._prefill + width * means["decode_seconds"],
            "roofline_seconds": share * means["roofline_prefill"] + width * means["roofline_decode"],
        }


def _mean(values: Sequence[float]) -> float:
    """Average the known values; NaN without one."""
    known = [float(value) for value in values if not pd.isna(value)]
    return sum(known) / len(known) if known else float("nan")
