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
from numba import njit, prange
from numpy.typing import NDArray
from torch import Tensor

from hyperscale.backends.rows import PAGE_SIZE, Rows, bits

_LOG2_E = np.float32(1.4426950408889634)
# Taylor coefficients of 2^f, f in [0, 1): relative error below 2e-6 after the sixth power.
_C1, _C2, _C3 = (
    np.float32(0.6931471805599453),
    np.float32(0.2402265069591007),
    np.float32(0.05550410866482158),
)
_C4, _C5, _C6 = (
    np.float32(0.009618129107628477),
    np.float32(0.0013333558146428443),
    np.float32(0.00015403530393381608),
)
_ZERO, _ONE = np.float32(0), np.float32(1)


@njit(fastmath={"contract", "reassoc", "nsz"}, cache=True)
def _load_page(page_td, buffer_td, bf16):  # type: ignore[no-untyped-def]
    """A stored page as fp32. bf16 is the upper half of an fp32's bits."""
    if bf16:
        for t in range(page_td.shape[0]):
            for c in range(page_td.shape[1]):
                buffer_td[t, c] = np.uint32(page_td[t, c]) << np.uint32(16)
    else:
        for t in range(page_td.shape[0]):
            for c in range(page_td.shape[1]):
                buffer_td[t, c] = np.uint32(page_td[t, c])


@njit(fastmath={"contract", "reassoc", "nsz"}, cache=True)
def _score_page(q_gd, k_td, scores_gt, base):  # type: ignore[no-untyped-def]
    """q . k for a page; four keys at a time hide the latency of the sums."""
    group, head_dim = q_gd.shape
    for g in range(group):
        for t in range(0, PAGE_SIZE, 4):
            s0 = s1 = s2 = s3 = _ZERO
            for c in range(head_dim):
                x = q_gd[g, c]
                s0 += x * k_td[t, c]
                s1 += x * k_td[t + 1, c]
                s2 += x * k_td[t + 2, c]
                s3 += x * k_td[t + 3, c]
            scores_gt[g, base + t] = s0
            scores_gt[g, base + t + 1] = s1
            scores_gt[g, base + t + 2] = s2
            scores_gt[g, base + t + 3] = s3


@njit(fastmath={"contract", "reassoc", "nsz"}, cache=True)
def _mix_page(out_gd, v_td, weights_gt, base):  # type: ignore[no-untyped-def]
    """out += weights . v for a page; eight values a pass, so that `out` is loaded and stored less often."""
    group, head_dim = out_gd.shape
    for g in range(group):
        for t in range(0, PAGE_SIZE, 8):
            u = base + t
            w0, w1, w2, w3 = (
                weights_gt[g, u],
                weights_gt[g, u + 1],
                weights_gt[g, u + 2],
                weights_gt[g, u + 3],
            )
            w4, w5, w6, w7 = (
                weights_gt[g, u + 4],
                weights_gt[g, u + 5],
                weights_gt[g, u + 6],
                weights_gt[g, u + 7],
            )
            for c in range(head_dim):
                out_gd[g, c] += (
                    w0 * v_td[t, c]
                    + w1 * v_td[t + 1, c]
                    + w2 * v_td[t + 2, c]
                    + w3 * v_td[t + 3, c]
                    + w4 * v_td[t + 4, c]
                    + w5 * v_td[t + 5, c]
                    + w6 * v_td[t + 6, c]
                    + w7 * v_td[t + 7, c]
                )


@njit(fastmath={"contract", "reassoc", "nsz"}, cache=True)
def _softmax(scores_t, length, padded, scale, powers_t):  # type: ignore[no-untyped-def]
    """Softmax of `length` scores in place; slots up to `padded` get weight 0.

    exp(x) = 2^n 2^f in plain arithmetic, because a call to libm would keep the loop from being vectorised.
    """
    top = scores_t[0] * scale
    for t in range(1, length):
        top = max(top, scores_t[t] * scale)
    exponents_t = powers_t.view(np.int32)
    for t in range(length):
        y = max((scores_t[t] * scale - top) * _LOG2_E, np.float32(-126.0))
        n = np.floor(y)
        f = y - n
        scores_t[t] = _ONE + f * (_C1 + f * (_C2 + f * (_C3 + f * (_C4 + f * (_C5 + f * _C6)))))
        exponents_t[t] = (np.int32(n) + np.int32(127)) << np.int32(23)
    total = _ZERO
    for t in range(length):
        e = scores_t[t] * powers_t[t]
        scores_t[t] = e
        total += e
    inverse = _ONE / total
    for t in range(length):
        scores_t[t] *= inverse
    for t in range(length, padded):
        scores_t[t] = _ZERO


@njit(fastmath={"contract", "reassoc", "nsz"}, cache=True)
def _attend_row(q_gd, out_gd, k_ptd, v_ptd, pages, length, scale, weights_gt, powers_t, buffer_td, bf16):  # type: ignore[no-untyped-def]
    used = (length + PAGE_SIZE - 1) // PAGE_SIZE
    page_td = buffer_td.view(np.float32)
    out_gd[:] = _ZERO
    for p in range(used):
        _load_page(k_ptd[pages[p]], buffer_td, bf16)
        _score_page(q_gd, page_td, weights_gt, p * PAGE_SIZE)
    for g in range(q_gd.shape[0]):
        _softmax(weights_gt[g], length, used * PAGE_SIZE, scale, powers_t)
    for p in range(used):
        _load_page(v_ptd[pages[p]], buffer_td, bf16)
        # What an earlier sequence left behind may be NaN, and 0 x NaN would spread.
        buffer_td[length - p * PAGE_SIZE :] = np.uint32(0)
        _mix_page(out_gd, page_td, weights_gt, p * PAGE_SIZE)


@njit(parallel=True, cache=True)
def _attend(q_nkgd, out_nkgd, k_ptd, v_ptd, table, lengths, slots, scale, weights, powers, buffers, bf16):  # type: ignore[no-untyped-def]
    n, kv_heads = q_nkgd.shape[:2]
    for r in prange(n * kv_heads):
        i, h = r // kv_heads, r % kv_heads
        worker = numba.get_thread_id()
        _attend_row(
            q_nkgd[i, h], out_nkgd[i, h], k_ptd, v_ptd, table[slots[i], h], lengths[slots[i], h], scale,
            weights[worker], powers[worker], buffers[worker], bf16,
        )  # fmt: skip


class CpuAttention:
    """Decode attention for rows in CPU memory, fp32 or bf16."""

    def __init__(self, rows: Rows, heads: int) -> None:
        assert rows.dtype in (torch.float32, torch.bfloat16), rows.dtype
        self.rows, self.group = rows, heads // rows.kv_heads
        # Rounded up to 64 bytes: two workers must not write to one cache line.
        workers, most = numba.get_num_threads(), -(-rows.table.shape[-1] * PAGE_SIZE // 16) * 16
        self._weights: NDArray[np.float32] = np.empty((workers, self.group, most), np.float32)
        self._powers: NDArray[np.float32] = np.empty((workers, most), np.float32)
        self._buffers: NDArray[np.uint32] = np.empty((workers, PAGE_SIZE, rows.head_dim), np.uint32)

    def __call__(self, layer: int, slots: NDArray[np.int64], q_nhd: Tensor) -> Tensor:
        """Attend each sequence's new query to all that its rows hold. Returns out_nhd in q's dtype."""
        rows, (n, heads, head_dim) = self.rows, q_nhd.shape
        q_nkgd = q_nhd.float().contiguous().numpy().reshape(n, rows.kv_heads, self.group, head_dim)
        out_nkgd = np.empty_like(q_nkgd)
        _attend(
            q_nkgd, out_nkgd, bits(rows.k_ptd), bits(rows.v_ptd), rows.table[layer], rows.lengths[layer], slots,
            np.float32(1 / math.sqrt(head_dim)), self._weights, self._powers, self._buffers,
            rows.dtype == torch.bfloat16,
        )  # fmt: skip
        return torch.from_numpy(out_nkgd).reshape(n, heads, head_dim).to(q_nhd.dtype)
