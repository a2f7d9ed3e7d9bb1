"""What samples tell a measurement of latency: prompts, lengths, and the KV tokens that rows held."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hyperscale.engines.torch.fill import HeldRows
from hyperscale.plan.cells import contexts
from hyperscale.plan.cost import PROMPT_TOKENS
from hyperscale.plan.runs import Run
from hyperscale.results.store import Store
from hyperscale.sweep.rounds import Extent

_KEY = ["run_id", "model", "backend", "compression_ratio", "cache_budget", "length_cap", "prompt_tokens"]
_ROWS = ["prompt_tokens", "generated_tokens", "step_live", "row_live", "layers", "kv_heads"]


@dataclass(frozen=True)
class Facts:
    """A run's extent, and the ids that its samples have, one a task."""

    extent: Extent
    run_ids: tuple[str, ...] = ()


def facts_of(store: Store, model: str, runs: Sequence[Run]) -> dict[Run, Facts]:
    """Read the facts of the runs that have samples with room for a token."""
    samples = store.read("samples", _KEY)
    samples = samples[(samples["model"] == model) & (samples["prompt_tokens"] < samples["length_cap"])]
    found = {}
    for run in runs:
        of_run = samples[samples["backend"] == run.backend]
        of_run = of_run[_same(of_run["compression_ratio"], run.compression_ratio)]
        of_run = of_run[_same(of_run["cache_budget"], run.cache_budget)]
        if len(prompts := of_run["prompt_tokens"]):
            extent = Extent(int(prompts.min()), int(prompts.max()), _lengths(run))
            found[run] = Facts(extent, tuple(sorted(of_run["run_id"].unique())))
    return found


def held_by(store: Store, run: Run, facts: Facts) -> HeldRows | None:
    """Average the KV tokens that rows of a gated run's samples held; None where the policy alone tells them."""
    if not run.policy.gated:
        return None
    samples = pd.concat([store.read("samples", _ROWS, run_id=run_id) for run_id in facts.run_ids])
    return held_rows(samples, contexts(facts.extent.shortest, facts.extent.lengths))


def expected(run: Run) -> tuple[Facts, HeldRows | None]:
    """Return what stands for the samples of a run without any: prompts up to half of the least L, rows as expected."""
    lengths = _lengths(run)
    longest = min(PROMPT_TOKENS, max(1, lengths[0] // 2))
    facts = Facts(Extent(min(16, longest), longest, lengths))
    expects = None if run.spec is None else run.policy.expectation(run.spec.gates, run.settings)
    if expects is None:
        return facts, None
    at = np.array(contexts(1, lengths), np.int64)
    return facts, HeldRows(at, np.array([min(1.0, expects(int(tokens)) / tokens) for tokens in at]), None)


def held_rows(samples: pd.DataFrame, at: list[int]) -> HeldRows | None:
    """Average the KV tokens of rows over samples at each context that one of them reached; None without a step.

    By layer and head, rows have the proportions that they have at the samples' ends.
    """
    shares: dict[int, list[float]] = {}
    ends: list[NDArray[np.float64]] = []
    for row in samples[_ROWS].to_dict("records"):
        if not row["generated_tokens"]:
            continue
        shape = int(row["layers"]), int(row["kv_heads"])
        for context in at:
            step = context - row["prompt_tokens"] - 1
            if 0 <= step < row["generated_tokens"]:
                shares.setdefault(context, []).append(row["step_live"][step] / (shape[0] * shape[1] * context))
        ends.append(np.asarray(row["row_live"], np.float64).reshape(shape))
    if not shares:
        return None
    seen = sorted(shares)
    rows_lk = np.mean(ends, axis=0)
    return HeldRows(np.array(seen, np.int64), np.array([np.mean(shares[x]) for x in seen]), rows_lk / rows_lk.mean())


def _lengths(run: Run) -> tuple[int, ...]:
    return tuple(sorted({length for _, length in run.points}))


def _same(column: pd.Series, value: float | None) -> pd.Series:
    return column.isna() if value is None else column == value
