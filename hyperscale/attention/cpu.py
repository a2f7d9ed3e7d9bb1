"""Decode attention over ragged paged rows on the CPU: one row at a time, rows in parallel (numba).

Cost follows the live tokens: a row of 10 tokens costs 1 page, whatever its neighbours hold. Storage is fp32
or bf16 (as its bits, in uint16); arithmetic is fp32. Scores and weights stay in a scratch row per thread, so
that the attention mass per slot is at hand for the policies that need it.
"""

from __future__ import annotations

import math

import numba
import numpy as np
import torch
from numba import prange
from numpy.typing import NDArray
from torch import Tensor

from hyperscale.attention.lanes import greatest, mix1, mix2, mix3, score1, score2, score3
from hyperscale.attention.vectors import LINE
from hyperscale.hardware.jit import FASTMATH, compiled, exp, to_float
from hyperscale.kvcache.block_table import PAGE_SIZE, Rows

_ZERO, _ONE = np.float32(0), np.float32(1)
_NO_MASS = np.empty((0, 0, 0), np.float32)
_AHEAD = 4096
"""Bytes after the page in work that are fetched: the extents of a row lie here and there, no hardware foresees them."""


@compiled(inline="always")
def _score_page(k_ptd, page, q, head, scores, row, group, fetch, lines):  # type: ignore[no-untyped-def]
    """Scores of all heads for a page, three heads at a time; addresses and strides as in lanes.py."""
    g = 0
    while group - g >= 3:
        score3(k_ptd, page, q + g * head, head, scores + g * row, row, fetch, lines)
        g, fetch = g + 3, fetch + lines * LINE
    if group - g == 2:
        score2(k_ptd, page, q + g * head, head, scores + g * row, row, fetch, lines)
    elif group - g == 1:
        score1(k_ptd, page, q + g * head, head, scores + g * row, row, fetch, lines)


@compiled(inline="always")
def _mix_page(v_ptd, page, weights, row, out, head, group, fetch, lines):  # type: ignore[no-untyped-def]
    """Add a page's values to the outputs of all heads, likewise."""
    g = 0
    while group - g >= 3:
        mix3(v_ptd, page, weights + g * row, row, out + g * head, head, fetch, lines)
        g, fetch = g + 3, fetch + lines * LINE
    if group - g == 2:
        mix2(v_ptd, page, weights + g * row, row, out + g * head, head, fetch, lines)
    elif group - g == 1:
        mix1(v_ptd, page, weights + g * row, row, out + g * head, head, fetch, lines)


@compiled(fastmath=FASTMATH)
def _mix_last(out_gd, v_td, weights_gt, count, base):  # type: ignore[no-untyped-def]
    """out += weights . v for the `count` slots of a page that is not full.

    What an earlier sequence left in the others may be NaN, and 0 x NaN would spread.
    """
    for g in range(out_gd.shape[0]):
        for t in range(count):
            w = weights_gt[g, base + t]
            for c in range(out_gd.shape[1]):
                out_gd[g, c] += w * to_float(v_td[t, c])


@compiled(fastmath=FASTMATH)
def _softmax(scores_t, length, scale):  # type: ignore[no-untyped-def]
    """Softmax of the first `length` scores, in place; the rest of the last page weighs nothing."""
    whole = -(-length // PAGE_SIZE) * PAGE_SIZE
    for t in range(length, whole):
        scores_t[t] = -np.inf
    top = greatest(scores_t.ctypes.data, whole)
    total = _ZERO
    for t in range(length):
        e = exp((scores_t[t] - top) * scale)
        scores_t[t] = e
        total += e
    inverse = _ONE / total
    for t in range(length):
        scores_t[t] *= inverse
    for t in range(length, whole):
        scores_t[t] = _ZERO


@compiled(fastmath=FASTMATH)
def _attend_row(q_gd, out_gd, k_ptd, v_ptd, pages, length, scale, scores_gt):  # type: ignore[no-untyped-def]
    group, used, whole = q_gd.shape[0], -(-length // PAGE_SIZE), length // PAGE_SIZE
    q, out, scores = q_gd.ctypes.data, out_gd.ctypes.data, scores_gt.ctypes.data
    head, row, block = q_gd.strides[0], scores_gt.strides[0], PAGE_SIZE * scores_gt.itemsize
    k, v, size = k_ptd.ctypes.data, v_ptd.ctypes.data, k_ptd.strides[0]
    lines = -(-size // (LINE * ((group + 2) // 3)))
    distance = max(1, _AHEAD // size)
    for p in range(used):
        ahead = p + distance
        fetch = k + pages[ahead] * size if ahead < used else v + pages[min(ahead - used, used - 1)] * size
        _score_page(k_ptd, pages[p], q, head, scores + p * block, row, group, fetch, lines)
    for g in range(group):
        _softmax(scores_gt[g], length, scale)
    out_gd[:] = _ZERO
    for p in range(whole):
        fetch = v + pages[min(p + distance, used - 1)] * size
        _mix_page(v_ptd, pages[p], scores + p * block, row, out, head, group, fetch, lines)
    if whole < used:
        _mix_last(out_gd, v_ptd[pages[whole]], scores_gt, length - whole * PAGE_SIZE, whole * PAGE_SIZE)


@compiled(parallel=True)
def _attend(q_nrgd, out_nrgd, k_ptd, v_ptd, table, lengths, slots, scale, scores, mass_nrt):  # type: ignore[no-untyped-def]
    n, rows = q_nrgd.shape[:2]
    for j in prange(n * rows):
        i, r = j // rows, j % rows
        pages, length = table[slots[i], r], lengths[slots[i], r]
        weights_gt = scores[numba.get_thread_id()]
        _attend_row(q_nrgd[i, r], out_nrgd[i, r], k_ptd, v_ptd, pages, length, scale, weights_gt)
        if mass_nrt.shape[0] > 0:
            for t in range(length):
                mass_nrt[i, r, t] = weights_gt[0, t]
            for g in range(1, weights_gt.shape[0]):
                for t in range(length):
                    mass_nrt[i, r, t] += weights_gt[g, t]


class CpuAttention:
    """Decode attention for rows in CPU memory, fp32 or bf16."""

    def __init__(self, rows: Rows, heads: int) -> None:
        assert rows.dtype in (torch.float32, torch.bfloat16), rows.dtype
        self.rows, self.group = rows, heads // rows.kv_heads
        # Each worker has its own; a page of scores is a whole cache line, so that two never write to one.
        slots = rows.table.shape[-1] * PAGE_SIZE
        # A parallel kernel sets OpenMP's count to numba's own, for torch too: one that the user made smaller stays.
        workers = min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS)
        numba.set_num_threads(workers)
        self._scores: NDArray[np.float32] = np.empty((workers, self.group, slots), np.float32)
        self._scores_of_one: NDArray[np.float32] = np.empty((workers, 1, slots), np.float32)
        self._scale = np.float32(1 / math.sqrt(rows.head_dim))

    def __call__(self, layer: int, slots: NDArray[np.int64], q_nhd: Tensor) -> Tensor:
        """Attend each sequence's new query to all that its rows hold. Returns out_nhd in q's dtype."""
        return self._run(q_nhd, self.rows.table[layer], self.rows.lengths[layer], slots, self._scores, _NO_MASS)

    def weighed(self, layer: int, slots: NDArray[np.int64], q_nhd: Tensor) -> tuple[Tensor, NDArray[np.float32]]:
        """As a call, with the attention on each slot, mass_nkt."""
        table, lengths = self.rows.table[layer], self.rows.lengths[layer]
        mass_nkt = np.zeros((len(slots), self.rows.kv_heads, int(lengths[slots].max())), np.float32)
        return self._run(q_nhd, table, lengths, slots, self._scores, mass_nkt), mass_nkt

    def selected(self, q_nhd: Tensor, pages_nhp: NDArray[np.int32], lengths_nh: NDArray[np.int32]) -> Tensor:
        """Attend each query head to pages of its own. Returns out_nhd in q's dtype."""
        every = np.arange(len(pages_nhp), dtype=np.int64)
        return self._run(q_nhd, pages_nhp, lengths_nh, every, self._scores_of_one, _NO_MASS)

    def _run(
        self, q_nhd: Tensor, table: NDArray[np.int32], lengths: NDArray[np.int32], slots: NDArray[np.int64],
        scores: NDArray[np.float32], mass_nrt: NDArray[np.float32],
    ) -> Tensor:  # fmt: skip
        n, heads, head_dim = q_nhd.shape
        q_nrgd = q_nhd.float().contiguous().numpy().reshape(n, table.shape[1], -1, head_dim)
        out_nrgd = np.empty_like(q_nrgd)
        pools = self.rows.k_bits, self.rows.v_bits
        _attend(q_nrgd, out_nrgd, *pools, table, lengths, slots, self._scale, scores, mass_nrt)
        return torch.from_numpy(out_nrgd).reshape(n, heads, head_dim).to(q_nhd.dtype)
