"""A thread cut at L: what it read, held and took until then. Prefix sums and maxima make each further L free."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, nan
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hyperscale.analysis.peaks import Trace
from hyperscale.hardware.roofline import Ceiling, prompt_seconds, roofline_micros
from hyperscale.kvcache.block_pool import blocks_for
from hyperscale.results.schema import ROOFLINE_COLUMNS, STEP_COLUMNS, STEP_THREADS

CUT_COLUMNS = [
    "backend", "cache_budget", "batch_threads", "token_bytes", "page_shared", "length_cap", "prompt_tokens",
    "generated_tokens", "finish_reason", "layers", "kv_heads", *ROOFLINE_COLUMNS, *STEP_COLUMNS, STEP_THREADS,
]  # fmt: skip
"""Columns of samples that `CuttableThread` needs."""


class Cut(NamedTuple):
    """One thread cut at L. Token counts are means over layers and KV heads."""

    generated: int
    kv_reads: float
    peak_tokens_sum: float
    pages: int
    """Most pages of its own."""
    decode_seconds: float
    roofline_prefill: float
    roofline_decode: float
    mean_length: int
    truncated_share: bool
    realised_ratio: float


class CuttableThread:
    """A row of samples whose prefix sums are made once."""

    def __init__(self, sample: Mapping[str, Any]) -> None:
        self.sample = sample
        self.prompt, self.total = int(sample["prompt_tokens"]), int(sample["generated_tokens"])
        self.cap = int(sample["length_cap"])
        self.rows = int(sample["layers"]) * int(sample["kv_heads"])
        self.budget = None if pd.isna(sample["cache_budget"]) else int(sample["cache_budget"])
        pages, shared = np.asarray(sample["step_pages"], np.int64), np.asarray(sample["page_shared"], np.int64)
        self.trace = Trace(np.asarray(sample["step_live"], np.int64), pages, shared)
        self._reads = np.cumsum(sample["step_reads"])
        self._peaks = np.maximum.accumulate(self.trace.live_n)
        self._pages = np.maximum.accumulate(pages)
        self._micros = np.cumsum(sample["step_micros"])
        self._prefill, self._roofline = self._bounds()

    def generated(self, length: int) -> int:
        """Count the tokens generated up to L = `length`."""
        return min(max(length - self.prompt, 0), self.total)

    def cut(self, length: int) -> Cut:
        """Cut the thread at L = `length`, which is at most its cap."""
        generated = self.generated(length)
        last, ran, rows = generated - 1, generated > 0, self.rows
        reached = self.prompt + generated
        return Cut(
            generated=generated,
            kv_reads=self._reads[last] / rows if ran else 0.0,
            peak_tokens_sum=self._peaks[last] / rows if ran else self.prompt,
            pages=int(self._pages[last]) if ran else 0,
            decode_seconds=self._micros[last] * 1e-6 if ran else 0.0,
            roofline_prefill=self._prefill if ran else 0.0,
            roofline_decode=self._roofline[last] if ran else 0.0,
            mean_length=min(reached, length),
            truncated_share=self.prompt + self.total > length or self.sample["finish_reason"] == "length",
            realised_ratio=reached * rows / self.trace.live_n[last] if ran else nan,
        )

    def shared(self, length: int) -> NDArray[np.bool_]:
        """Tell, for each page of the prompt, whether the thread shared it after its first step, when it shares most."""
        if self.generated(length):
            return np.asarray(self.trace.shared_p > 0)
        return np.ones(blocks_for(self.prompt) * self.rows, np.bool_)

    def _bounds(self) -> tuple[float, NDArray[np.float64]]:
        """Bound the seconds of prefill, and of decode up to each step, from below; NaN without a known ceiling.

        A sample without STEP_THREADS has only their mean.
        """
        sample = self.sample
        if not self.total or pd.isna(sample["peak_flops"]):
            return nan, np.full(self.total, nan)
        ceiling = Ceiling(**{name: sample[name] for name in ROOFLINE_COLUMNS})
        steps = sample[STEP_THREADS]
        threads = np.asarray(steps, np.int64) if isinstance(steps, np.ndarray | list) else sample["batch_threads"]
        reads, size = np.asarray(sample["step_reads"]), sample["token_bytes"]
        micros = roofline_micros(reads, threads, size, self.rows, ceiling, inf if self.budget is None else self.budget)
        # A row that held no more than B after its first step was prefilled up to B; Quest's hold the whole prompt.
        evicts = self.budget is not None and self.trace.live_n[0] <= self.budget * self.rows
        dense = min(self.prompt, self.budget) if evicts and self.budget is not None else self.prompt
        return prompt_seconds(self.prompt, dense, size, self.rows, ceiling), np.cumsum(micros) * 1e-6
