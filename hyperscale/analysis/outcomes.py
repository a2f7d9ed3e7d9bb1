"""Compute outcomes from samples and grades: cost and score of every (W, L) on every problem."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import inf
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hyperscale.analysis.peaks import POOL_KEY, expected_union, peaks_of, subset_seed
from hyperscale.grading.registry import load_aggregate
from hyperscale.hardware.roofline import Ceiling, prompt_seconds, roofline_micros
from hyperscale.kvcache.block_pool import blocks_for
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
"""Columns of samples that `outcomes` needs; tokens and texts are not among them."""


class Cut(NamedTuple):
    """One thread cut at L. Token counts are means over layers and KV heads."""

    sample: int
    length: int
    generated: int
    kv_reads: float
    peak_tokens_sum: float
    pages: int
    """Most pages of its own."""
    shared: NDArray[np.bool_]
    """Per page of the prompt: whether the thread shared it after its first step, when it shares most."""
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
    """Compute OUTCOMES for every (W, L) of `grid` and every problem whose pool at L holds W graded threads.

    The pool at L is the threads with `length_cap` >= L: a thread with a smaller cap that stopped early would fit too,
    but taking it without its truncated neighbours would favour short chains (`Store.raise_caps`). A chain longer than
    L is cut to its first L - P tokens. Where P >= L nothing runs: no answer, no reads, and the prompt as the peak.
    Sums over threads are exact expectations over W-subsets of the pool: W times its mean. Peaks in lockstep and votes
    are averaged over the same subsets (`vote.subsets`). `classes(task, [(answer, normal), ...])` gives each answer of a
    pool its equivalence class, -1 where it is missing.
    ValueError: a task without an aggregate, or two runs with one outcome.
    """
    unnamed = set(samples["task"]) - aggregates.keys()
    if unnamed:
        raise ValueError(f"no aggregate for the sampled task {', '.join(sorted(unnamed))}")
    pools = _pools(samples, grades, sorted({length for _, length in grid}))
    costs = _costs(pools, pd.DataFrame(grid, columns=["width", "length"], dtype=np.int64).drop_duplicates())
    costs = costs.join(peaks_of(samples, pools, costs, seed))
    scores = list(_scores(pools, costs, aggregates, classes, seed))
    costs["accuracy"] = [accuracy for accuracy, _ in scores]
    costs["tied"] = [tied for _, tied in scores]
    key = list(OUTCOME_KEY)
    if costs.duplicated(key).any():
        twice = costs.loc[costs.duplicated(key), key].iloc[0].to_dict()
        raise ValueError(f"two runs give the same outcome, {twice}: keep them in two results folders")
    frame = costs[[column.name for column in OUTCOMES]].sort_values(key)
    table: pd.DataFrame = frame_to_arrow("outcomes", frame).to_pandas()
    return table


def _pools(samples: pd.DataFrame, grades: pd.DataFrame, lengths: list[int]) -> pd.DataFrame:
    """Make one row for each thread and L whose pool it belongs to: the thread cut at L, with its grade."""
    cuts = pd.DataFrame(_cuts(samples, np.array(lengths, dtype=np.int64)), columns=list(Cut._fields))
    threads = samples[[*SAMPLE_KEY, *_THREAD, *_COSTS, "layers", "kv_heads"]].reset_index(drop=True)
    pools = threads.merge(cuts.astype({"sample": np.int64, "length": np.int64}), left_index=True, right_on="sample")
    bound = pools["cache_budget"].notna()
    budget = pools["cache_budget"].astype(float)
    pools["compression_ratio"] = pools["compression_ratio"].where(~bound, pools["length"] / budget)
    key = [*SAMPLE_KEY, "length", "chain"]
    verdicts = grades[[*key, "answer", "normal", "correct"]]
    pools = pools.merge(verdicts, on=key, how="left", validate="one_to_one")
    # A budget that L does not exceed compresses nothing: it makes no point of a budget-bound backend.
    point = ~bound | (pools["compression_ratio"] >= 1)
    pools = pools[point & (pools["correct"].notna() | (pools["generated"] == 0))]
    empty = pools["generated"] == 0
    return pools.assign(
        answer=pools["answer"].astype(object).mask(empty | pools["answer"].isna(), None),
        normal=pools["normal"].astype(object).mask(empty | pools["normal"].isna(), None),
        correct=pools["correct"].eq(True) & ~empty,
        **{name: pools[name].mask(empty, 0.0) for name in ("prefill_seconds", "batch_threads")},
    ).sort_values([*POOL_KEY, "thread"], ignore_index=True)


def _cuts(samples: pd.DataFrame, lengths: NDArray[np.int64]) -> Iterator[Cut]:
    """Cut every sample at every L up to its cap. Prefix sums and maxima make each further L free."""
    others = ["backend", "cache_budget", "batch_threads", "token_bytes", STEP_THREADS]
    columns = [*_CHAIN, *ROOFLINE_COLUMNS, *others, *STEP_COLUMNS]
    for index, sample in enumerate(samples[columns].to_dict("records")):
        prompt, total = sample["prompt_tokens"], sample["generated_tokens"]
        rows = sample["layers"] * sample["kv_heads"]
        reads = np.cumsum(sample["step_reads"])
        live = sample["step_live"]
        peaks = np.maximum.accumulate(live)
        pages = np.maximum.accumulate(sample["step_pages"])
        micros = np.cumsum(sample["step_micros"])
        roofline_prefill, roofline = _roofline(sample, rows)
        for length in lengths[lengths <= sample["length_cap"]].tolist():
            generated = min(max(length - prompt, 0), total)
            last, ran = generated - 1, generated > 0
            yield Cut(
                sample=index,
                length=length,
                generated=generated,
                kv_reads=reads[last] / rows if ran else 0.0,
                peak_tokens_sum=peaks[last] / rows if ran else prompt,
                pages=int(pages[last]) if ran else 0,
                shared=np.asarray(sample["page_shared"]) > 0 if ran else np.ones(blocks_for(prompt) * rows, np.bool_),
                decode_seconds=micros[last] * 1e-6 if ran else 0.0,
                roofline_prefill=roofline_prefill if ran else 0.0,
                roofline_decode=roofline[last] if ran else 0.0,
                mean_length=min(prompt + generated, length),
                truncated_share=prompt + total > length or sample["finish_reason"] == "length",
                realised_ratio=(prompt + generated) * rows / live[last] if ran else np.nan,
            )


def _roofline(sample: Mapping[Any, Any], rows: int) -> tuple[float, NDArray[np.float64]]:
    """Bound a thread's seconds of prefill, and of decode up to each step, from below; NaN without a known ceiling.

    `rows` counts KV rows: layers times KV heads. A sample without STEP_THREADS has only their mean.
    """
    if not sample["generated_tokens"] or pd.isna(sample["peak_flops"]):
        return np.nan, np.full(sample["generated_tokens"], np.nan)
    ceiling = Ceiling(**{name: sample[name] for name in ROOFLINE_COLUMNS})
    budget = None if pd.isna(sample["cache_budget"]) else int(sample["cache_budget"])
    threads = sample[STEP_THREADS] if isinstance(sample[STEP_THREADS], np.ndarray) else sample["batch_threads"]
    reads, size, most = np.asarray(sample["step_reads"]), sample["token_bytes"], inf if budget is None else budget
    micros = roofline_micros(reads, threads, size, rows, ceiling, most)
    # A row that held no more than B after its first step was prefilled up to B; Quest's hold the whole prompt.
    evicts = budget is not None and sample["step_live"][0] <= budget * rows
    dense = min(sample["prompt_tokens"], budget) if evicts else sample["prompt_tokens"]
    return prompt_seconds(sample["prompt_tokens"], dense, size, rows, ceiling), np.cumsum(micros) * 1e-6


def _costs(pools: pd.DataFrame, grid: pd.DataFrame) -> pd.DataFrame:
    """Make one row for each pool and W: sums over W threads are W times the pool's mean."""
    first = ["model", "backend", "compression_ratio", "page_bytes", "engine", "layers", "kv_heads", "generated"]
    mean = ["kv_reads", "peak_tokens_sum", "pages", "decode_seconds", "prefill_seconds"]
    mean += ["roofline_prefill", "roofline_decode"]
    mean += ["mean_length", "truncated_share", "realised_ratio", "batch_threads"]
    spread: dict[str, Any] = dict.fromkeys(first, "first") | dict.fromkeys(mean, "mean")
    spread |= {"device_bytes": "max", "inexact": "max", "unknown": "sum"}
    # A mean over only the threads with a known ceiling would be compared with the seconds of all: none then.
    inexact = pools["accounting"].map({kind: rank for rank, kind in enumerate(ACCOUNTINGS)})
    pools = pools.assign(inexact=inexact.astype(int), unknown=pools["roofline_decode"].isna())
    groups = pools.astype({**dict.fromkeys(mean, float), "device_bytes": float}).groupby(POOL_KEY, as_index=False)
    costs = groups.agg(spread).assign(sharers=[np.sum(group["shared"].tolist(), axis=0) for _, group in groups])
    costs = costs.merge(groups.size().rename(columns={"size": "pool"}), on=POOL_KEY)
    costs = costs.merge(grid, on="length").query("width <= pool").reset_index(drop=True)
    width = costs["width"]
    shared = [expected_union(*row) for row in zip(costs["sharers"], costs["pool"], width, strict=True)]
    # vLLM's prefill is part of its steps: `seconds` of W threads holds their share of it.
    prefill = costs["roofline_prefill"] * (width / costs["pool"]).where(costs["engine"] == "vllm", 1.0)
    return costs.assign(
        kv_reads=width * costs["kv_reads"],
        prompt_fits=costs["generated"] > 0,
        peak_tokens_sum=width * costs["peak_tokens_sum"],
        peak_bytes_sum=(np.array(shared) + width * costs["pages"]) * costs["page_bytes"],
        seconds=costs["prefill_seconds"] + width * costs["decode_seconds"],
        roofline_seconds=(prefill + width * costs["roofline_decode"]).mask(costs["unknown"] > 0),
        accounting=[ACCOUNTINGS[rank] for rank in costs["inexact"]],
    )


def _scores(
    pools: pd.DataFrame, costs: pd.DataFrame, aggregates: Mapping[str, str], classes: Classes, seed: int
) -> Iterator[tuple[float, float]]:
    """Score each row of `costs`: (expected accuracy, share of tied votes; NaN without a vote)."""
    members = pools.groupby(POOL_KEY).indices
    answers = list(zip(pools["answer"], pools["normal"], strict=True))
    correct = pools["correct"].to_numpy(dtype=bool)
    voted: dict[tuple[Any, ...], list[int]] = {}
    for *key, width in costs[[*POOL_KEY, "width"]].itertuples(index=False, name=None):
        pool = tuple(key)
        _, task, problem_id, _ = pool
        threads = members[pool]
        aggregate = load_aggregate(aggregates[task])
        if pool not in voted:
            voted[pool] = classes(task, [answers[thread] for thread in threads]) if aggregate.votes else []
        yield aggregate.score(voted[pool], correct[threads].tolist(), width, seed=subset_seed(seed, task, problem_id))
