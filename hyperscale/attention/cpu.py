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

from hyperscale.backends.rows import PAGE_SIZE, Rows
from hyperscale.floats import FASTMATH, compiled, exp, prefetch, to_float

_ZERO, _ONE = np.float32(0), np.float32(1)
_LINE = 64
"""Bytes of a cache line."""
_HEADS = 3
"""Query heads that share one pass over a page: each key is then converted once for three."""


@compiled(fastmath=FASTMATH)
def _score3(q_gd, k_td, scores_gt, g, base):  # type: ignore[no-untyped-def]
    """q . k of three heads for a page, two keys at a time."""
    for t in range(0, PAGE_SIZE, 2):
        x0 = x1 = y0 = y1 = z0 = z1 = _ZERO
        for c in range(q_gd.shape[1]):
            k0, k1 = to_float(k_td[t, c]), to_float(k_td[t + 1, c])
            x0 += q_gd[g, c] * k0
            x1 += q_gd[g, c] * k1
            y0 += q_gd[g + 1, c] * k0
            y1 += q_gd[g + 1, c] * k1
            z0 += q_gd[g + 2, c] * k0
            z1 += q_gd[g + 2, c] * k1
        scores_gt[g, base + t], scores_gt[g, base + t + 1] = x0, x1
        scores_gt[g + 1, base + t], scores_gt[g + 1, base + t + 1] = y0, y1
        scores_gt[g + 2, base + t], scores_gt[g + 2, base + t + 1] = z0, z1


@compiled(fastmath=FASTMATH)
def _score1(q_gd, k_td, scores_gt, g, base):  # type: ignore[no-untyped-def]
    """q . k of one head for a page; four keys at a time hide the latency of the sums."""
    for t in range(0, PAGE_SIZE, 4):
        s0 = s1 = s2 = s3 = _ZERO
        for c in range(q_gd.shape[1]):
            x = q_gd[g, c]
            s0 += x * to_float(k_td[t, c])
            s1 += x * to_float(k_td[t + 1, c])
            s2 += x * to_float(k_td[t + 2, c])
            s3 += x * to_float(k_td[t + 3, c])
        scores_gt[g, base + t], scores_gt[g, base + t + 1] = s0, s1
        scores_gt[g, base + t + 2], scores_gt[g, base + t + 3] = s2, s3


@compiled(fastmath=FASTMATH)
def _mix3(out_gd, v_td, weights_gt, g, base):  # type: ignore[no-untyped-def]
    """out += weights . v of three heads for a page; four values a pass spare loads and stores of `out`."""
    for t in range(0, PAGE_SIZE, 4):
        u = base + t
        x0, x1, x2, x3 = weights_gt[g, u], weights_gt[g, u + 1], weights_gt[g, u + 2], weights_gt[g, u + 3]
        y0, y1 = weights_gt[g + 1, u], weights_gt[g + 1, u + 1]
        y2, y3 = weights_gt[g + 1, u + 2], weights_gt[g + 1, u + 3]
        z0, z1 = weights_gt[g + 2, u], weights_gt[g + 2, u + 1]
        z2, z3 = weights_gt[g + 2, u + 2], weights_gt[g + 2, u + 3]
        for c in range(out_gd.shape[1]):
            v0, v1 = to_float(v_td[t, c]), to_float(v_td[t + 1, c])
            v2, v3 = to_float(v_td[t + 2, c]), to_float(v_td[t + 3, c])
            out_gd[g, c] += x0 * v0 + x1 * v1 + x2 * v2 + x3 * v3
            out_gd[g + 1, c] += y0 * v0 + y1 * v1 + y2 * v2 + y3 * v3
            out_gd[g + 2, c] += z0 * v0 + z1 * v1 + z2 * v2 + z3 * v3


@compiled(fastmath=FASTMATH)
def _mix1(out_gd, v_td, weights_gt, g, base):  # type: ignore[no-untyped-def]
    """out += weights . v of one head for a page."""
    for t in range(0, PAGE_SIZE, 4):
        u = base + t
        w0, w1, w2, w3 = weights_gt[g, u], weights_gt[g, u + 1], weights_gt[g, u + 2], weights_gt[g, u + 3]
        for c in range(out_gd.shape[1]):
            v0, v1 = to_float(v_td[t, c]), to_float(v_td[t + 1, c])
            v2, v3 = to_float(v_td[t + 2, c]), to_float(v_td[t + 3, c])
            out_gd[g, c] += w0 * v0 + w1 * v1 + w2 * v2 + w3 * v3


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
    """Softmax of the first `length` scores, in place."""
    top = scores_t[0]
    for t in range(1, length):
        top = max(top, scores_t[t])
    total = _ZERO
    for t in range(length):
        e = exp((scores_t[t] - top) * scale)
        scores_t[t] = e
        total += e
    inverse = _ONE / total
    for t in range(length):
        scores_t[t] *= inverse


@compiled()
def _fetch(pool_ptd, page):  # type: ignore[no-untyped-def]
    """Have a page on its way while another is worked on: rows lie here and there, where no hardware foresees it."""
    size = pool_ptd.strides[0]
    start = pool_ptd.ctypes.data + page * size
    for offset in range(0, size, _LINE):
        prefetch(start + offset)


@compiled(fastmath=FASTMATH)
def _attend_row(q_gd, out_gd, k_ptd, v_ptd, pages, length, scale, weights_gt):  # type: ignore[no-untyped-def]
    group = q_gd.shape[0]
    together = group - group % _HEADS
    full, rest = length // PAGE_SIZE, length % PAGE_SIZE
    used = full + (rest > 0)
    for p in range(used):
        if p + 1 < used:
            _fetch(k_ptd, pages[p + 1])
        else:
            _fetch(v_ptd, pages[0])
        for g in range(0, together, _HEADS):
            _score3(q_gd, k_ptd[pages[p]], weights_gt, g, p * PAGE_SIZE)
        for g in range(together, group):
            _score1(q_gd, k_ptd[pages[p]], weights_gt, g, p * PAGE_SIZE)
    for g in range(group):
        _softmax(weights_gt[g], length, scale)
    out_gd[:] = _ZERO
    for p in range(full):
        if p + 1 < used:
            _fetch(v_ptd, pages[p + 1])
        for g in range(0, together, _HEADS):
            _mix3(out_gd, v_ptd[pages[p]], weights_gt, g, p * PAGE_SIZE)
        for g in range(together, group):
            _mix1(out_gd, v_ptd[pages[p]], weights_gt, g, p * PAGE_SIZE)
    if rest:
        _mix_last(out_gd, v_ptd[pages[full]], weights_gt, rest, full * PAGE_SIZE)


@compiled(parallel=True)
def _attend(q_nkgd, out_nkgd, k_ptd, v_ptd, table, lengths, slots, scale, weights):  # type: ignore[no-untyped-def]
    n, kv_heads = q_nkgd.shape[:2]
    for r in prange(n * kv_heads):
        i, h = r // kv_heads, r % kv_heads
        pages, length = table[slots[i], h], lengths[slots[i], h]
        _attend_row(q_nkgd[i, h], out_nkgd[i, h], k_ptd, v_ptd, pages, length, scale, weights[numba.get_thread_id()])


class CpuAttention:
    """Decode attention for rows in CPU memory, fp32 or bf16."""

    def __init__(self, rows: Rows, heads: int) -> None:
        assert rows.dtype in (torch.float32, torch.bfloat16), rows.dtype
        self.rows, self.group = rows, heads // rows.kv_heads
        # Whole cache lines: two workers must not write to one.
        slots = -(-rows.table.shape[-1] * PAGE_SIZE // 16) * 16
        self._weights: NDArray[np.float32] = np.empty((numba.get_num_threads(), self.group, slots), np.float32)
        self._scale = np.float32(1 / math.sqrt(rows.head_dim))

    def __call__(self, layer: int, slots: NDArray[np.int64], q_nhd: Tensor) -> Tensor:
        """Attend each sequence's new query to all that its rows hold. Returns out_nhd in q's dtype."""
        rows, (n, heads, head_dim) = self.rows, q_nhd.shape
        q_nkgd = q_nhd.float().contiguous().numpy().reshape(n, rows.kv_heads, self.group, head_dim)
        out_nkgd = np.empty_like(q_nkgd)
        _attend(
            q_nkgd, out_nkgd, rows.k_bits, rows.v_bits, rows.table[layer], rows.lengths[layer], slots, self._scale,
            self._weights,
        )  # fmt: skip
        return torch.from_numpy(out_nkgd).reshape(n, heads, head_dim).to(q_nhd.dtype)
