"""Samples and grades -> outcomes: what every (W, L) costs and scores on every problem."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import comb, inf
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hyperscale.grading.registry import load_aggregate
from hyperscale.hardware.roofline import Ceiling, prompt_seconds, roofline_micros
from hyperscale.results.rows import frame_to_arrow
from hyperscale.results.schema import (
    ACCOUNTINGS,
    OUTCOME_KEY,
    OUTCOMES,
    ROOFLINE_COLUMNS,
    SAMPLE_KEY,
    STEP_COLUMNS,
    STEP_THREADS,
)

Answers = Sequence[tuple[str | None, str | None]]
Classes = Callable[[str, Answers], list[int]]

_THREAD = ["model", "backend", "compression_ratio", "cache_budget", "chain", "engine", "accounting", "device_bytes"]
_COSTS = ["prefill_seconds", "batch_threads", "token_bytes", "page_bytes"]
_CHAIN = ["page_shared", "length_cap", "prompt_tokens", "generated_tokens", "finish_reason", "layers", "kv_heads"]

SAMPLE_COLUMNS = [*SAMPLE_KEY, *_THREAD, *_COSTS, *ROOFLINE_COLUMNS, *_CHAIN, *STEP_COLUMNS, STEP_THREADS]
"""The columns of samples that `outcomes` needs: reading only these leaves tokens and texts on disk."""

_POOL = ["run_id", "task", "problem_id", "length"]


class Cut(NamedTuple):
    """One thread cut at L. Counts of tokens are means over layers and KV heads."""

    sample: int
    length: int
    generated: int
    kv_reads: float
    peak_tokens: float
    pages: int
    shared: NDArray[np.bool_]
    """Of each page of the prompt: whether the thread still shares it."""
    decode_seconds: float
    roofline_prefill: float
    roofline_decode: float
    mean_length: int
    truncated_share: bool
    realised_ratio: float


def outcomes(
    samples: pd.DataFrame,
    grades: pd.DataFrame,
    grid: Sequence[tuple[int, int]],
    aggregates: Mapping[str, str],
    classes: Classes,
    seed: int = 0,
) -> pd.DataFrame:
    """OUTCOMES for every (W, L) of `grid` and every problem whose pool at L holds W graded threads.

    The pool at L is the threads with `length_cap` >= L: a thread of a smaller cap that stopped early would
    fit too, but taking it and not its cut-off neighbours would favour short chains (`Store.raise_caps`).
    A chain longer than L is cut to its first L - P tokens. Where P >= L nothing is run: it costs nothing, and
    has no answer. Costs are exact expectations over W-subsets of the pool: sums over threads are W times the
    pool's mean; a page that some of them share counts once if any of the W does. `classes(task,
    [(answer, normal), ...])` gives each answer of a pool its equivalence class, -1 where it is missing.
    """
    unnamed = set(samples["task"]) - aggregates.keys()
    if unnamed:
        raise ValueError(f"no aggregate for the sampled task {', '.join(sorted(unnamed))}")
    pools = _pools(samples, grades, sorted({length for _, length in grid}))
    costs = _costs(pools, pd.DataFrame(grid, columns=["width", "length"], dtype=np.int64).drop_duplicates())
    scores = list(_scores(pools, costs, aggregates, classes, seed))
    costs["accuracy"] = [accuracy for accuracy, _ in scores]
    costs["tied"] = [tied for _, tied in scores]
    key = list(OUTCOME_KEY)
    if costs.duplicated(key).any():
        twice = costs.loc[costs.duplicated(key), key].iloc[0].to_dict()
        raise ValueError(f"two runs give the same outcome, {twice}: keep them in two results folders")
    frame = costs[[column.name for column in OUTCOMES]].sort_values(key)
    return frame_to_arrow("outcomes", frame).to_pandas()


def _pools(samples: pd.DataFrame, grades: pd.DataFrame, lengths: list[int]) -> pd.DataFrame:
    """One row a thread and L: the thread cut at L, with its grade, where it belongs to the pool of L."""
    cuts = pd.DataFrame(_cuts(samples, np.array(lengths, dtype=np.int64)), columns=list(Cut._fields))
    threads = samples[[*SAMPLE_KEY, *_THREAD, *_COSTS]].reset_index(drop=True)
    pools = threads.merge(cuts.astype({"sample": np.int64, "length": np.int64}), left_index=True, right_on="sample")
    bound = pools["cache_budget"].notna()
    budget = pools["cache_budget"].astype(float)
    pools["compression_ratio"] = pools["compression_ratio"].where(~bound, pools["length"] / budget)
    key = [*SAMPLE_KEY, "length", "chain"]
    verdicts = grades[[*key, "answer", "normal", "correct"]]
    pools = pools.merge(verdicts, on=key, how="left", validate="one_to_one")
    # A budget that L does not exceed compresses nothing: no point of a bound backend.
    point = ~bound | (pools["compression_ratio"] >= 1)
    pools = pools[point & (pools["correct"].notna() | (pools["generated"] == 0))]
    empty = pools["generated"] == 0
    return pools.assign(
        answer=pools["answer"].astype(object).mask(empty | pools["answer"].isna(), None),
        normal=pools["normal"].astype(object).mask(empty | pools["normal"].isna(), None),
        correct=pools["correct"].eq(True) & ~empty,
        **{name: pools[name].mask(empty, 0.0) for name in ("prefill_seconds", "batch_threads")},
    ).sort_values([*_POOL, "thread"], ignore_index=True)


def _cuts(samples: pd.DataFrame, lengths: NDArray[np.int64]) -> Iterator[Cut]:
    """Every sample at every L up to its cap. Prefix sums and maxima make each further L free."""
    others = ["backend", "cache_budget", "batch_threads", "token_bytes", STEP_THREADS]
    for index, row in enumerate(samples[[*_CHAIN, *ROOFLINE_COLUMNS, *others, *STEP_COLUMNS]].to_dict("records")):
        prompt, total, rows = row["prompt_tokens"], row["generated_tokens"], row["layers"] * row["kv_heads"]
        reads = np.cumsum(row["step_reads"])
        live = row["step_live"]
        peaks = np.maximum.accumulate(live)
        pages = np.maximum.accumulate(row["step_pages"])
        micros = np.cumsum(row["step_micros"])
        roofline_prefill, roofline = _roofline(row, rows)
        for length in lengths[lengths <= row["length_cap"]].tolist():
            cut = min(max(length - prompt, 0), total)
            last, ran = cut - 1, cut > 0
            yield Cut(
                sample=index,
                length=length,
                generated=cut,
                kv_reads=reads[last] / rows if ran else 0.0,
                peak_tokens=peaks[last] / rows if ran else 0.0,
                pages=int(pages[last]) if ran else 0,
                shared=np.asarray(row["page_shared"]) >= cut if ran else np.zeros(0, np.bool_),
                decode_seconds=micros[last] * 1e-6 if ran else 0.0,
                roofline_prefill=roofline_prefill if ran else 0.0,
                roofline_decode=roofline[last] if ran else 0.0,
                mean_length=prompt + cut,
                truncated_share=prompt + total > length or row["finish_reason"] == "length",
                realised_ratio=(prompt + cut) * rows / live[last] if ran else np.nan,
            )


def _roofline(row: Mapping[Any, Any], rows: int) -> tuple[float, NDArray[np.float64]]:
    """Least seconds of a thread's prefill, and of its decode steps up to each; NaN where no ceiling is known.

    Rows without STEP_THREADS have only their mean.
    """
    if not row["generated_tokens"] or pd.isna(row["peak_flops"]):
        return np.nan, np.full(row["generated_tokens"], np.nan)
    ceiling = Ceiling(**{name: row[name] for name in ROOFLINE_COLUMNS})
    budget = None if pd.isna(row["cache_budget"]) else int(row["cache_budget"])
    threads = row[STEP_THREADS] if isinstance(row[STEP_THREADS], np.ndarray) else row["batch_threads"]
    reads, size, most = np.asarray(row["step_reads"]), row["token_bytes"], inf if budget is None else budget
    micros = roofline_micros(reads, threads, size, rows, ceiling, most)
    # A row that held no more than B after its first step was prefilled up to B; Quest's hold the whole prompt.
    evicts = budget is not None and row["step_live"][0] <= budget * rows
    dense = min(row["prompt_tokens"], budget) if evicts else row["prompt_tokens"]
    return prompt_seconds(row["prompt_tokens"], dense, size, rows, ceiling), np.cumsum(micros) * 1e-6


def _costs(pools: pd.DataFrame, grid: pd.DataFrame) -> pd.DataFrame:
    """One row a pool and W: sums over W threads are W times the pool's mean."""
    first = ["model", "backend", "compression_ratio", "page_bytes", "engine"]
    mean = ["kv_reads", "peak_tokens", "pages", "decode_seconds", "prefill_seconds"]
    mean += ["roofline_prefill", "roofline_decode"]
    mean += ["mean_length", "truncated_share", "realised_ratio", "batch_threads"]
    spread: dict[str, Any] = dict.fromkeys(first, "first") | dict.fromkeys(mean, "mean")
    spread |= {"device_bytes": "max", "inexact": "max", "unknown": "sum"}
    # A mean over those of a pool whose ceiling is known would be compared with the seconds of all.
    inexact = pools["accounting"].map({kind: rank for rank, kind in enumerate(ACCOUNTINGS)})
    pools = pools.assign(inexact=inexact.astype(int), unknown=pools["roofline_decode"].isna())
    groups = pools.astype({**dict.fromkeys(mean, float), "device_bytes": float}).groupby(_POOL, as_index=False)
    costs = groups.agg(spread).assign(sharers=[np.sum(group["shared"].tolist(), axis=0) for _, group in groups])
    costs = costs.merge(groups.size().rename(columns={"size": "pool"}), on=_POOL)
    costs = costs.merge(grid, on="length").query("width <= pool").reset_index(drop=True)
    width = costs["width"]
    shared = [_union(*row) for row in zip(costs["sharers"], costs["pool"], width, strict=True)]
    # vLLM's prefill is within its steps: of W threads `seconds` has their part of it.
    prefill = costs["roofline_prefill"] * (width / costs["pool"]).where(costs["engine"] == "vllm", 1.0)
    return costs.assign(
        kv_reads=width * costs["kv_reads"],
        peak_tokens=width * costs["peak_tokens"],
        peak_bytes=(np.array(shared) + width * costs["pages"]) * costs["page_bytes"],
        seconds=costs["prefill_seconds"] + width * costs["decode_seconds"],
        roofline_seconds=(prefill + width * costs["roofline_decode"]).mask(costs["unknown"] > 0),
        accounting=[ACCOUNTINGS[rank] for rank in costs["inexact"]],
    )


def _union(sharers: NDArray[np.int64], pool: int, width: int) -> float:
    """Pages that at least one of W threads shares, expected over W-subsets; `sharers` of the pool share each page."""
    counts = np.bincount(sharers, minlength=pool + 1)
    return sum(int(counts[n]) * (1 - comb(pool - n, width) / comb(pool, width)) for n in range(1, pool + 1))


def _scores(
    pools: pd.DataFrame, costs: pd.DataFrame, aggregates: Mapping[str, str], classes: Classes, seed: int
) -> Iterator[tuple[float, float]]:
    """(expected accuracy, share of tied votes; NaN where nothing is voted) of each row of `costs`."""
    members = pools.groupby(_POOL).indices
    answers = list(zip(pools["answer"], pools["normal"], strict=True))
    correct = pools["correct"].to_numpy(dtype=bool)
    voted: dict[tuple[Any, ...], list[int]] = {}
    for *key, width in costs[[*_POOL, "width"]].itertuples(index=False, name=None):
        pool = tuple(key)
        _, task, problem_id, length = pool
        threads = members[pool]
        aggregate = load_aggregate(aggregates[task])
        if pool not in voted:
            voted[pool] = classes(task, [answers[thread] for thread in threads]) if aggregate.votes else []
        subsets = _seed(seed, task, problem_id, length)
        yield aggregate.score(voted[pool], correct[threads].tolist(), width, seed=subsets)


def _seed(seed: int, task: str, problem_id: str, length: int) -> int:
    """Seed of a problem's random subsets: the same for every backend, so that their votes stay paired."""
    name = f"{seed}\0{task}\0{problem_id}\0{length}".encode()
    return int.from_bytes(hashlib.blake2b(name, digest_size=4).digest(), "big")
