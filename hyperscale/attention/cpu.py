"""Decode attention over ragged paged rows on the CPU: one row at a time, rows in parallel (numba).

Cost follows the live tokens: a row of 10 tokens costs 1 block, whatever its neighbours hold. Storage is fp32
or bf16 (as its bits, in uint16); arithmetic is fp32. Scores and weights stay in a scratch row per worker, from which
the attention mass of each place is read by the policies that need it.
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
from hyperscale.kvcache.block_pool import BLOCK_SIZE
from hyperscale.kvcache.block_table import BlockTable

_ZERO, _ONE = np.float32(0), np.float32(1)
_NO_MASS = np.empty((0, 0, 0), np.float32)
_AHEAD = 4096
"""Bytes to prefetch ahead of the current block: the extents of a row are scattered, so no hardware prefetcher helps."""


@compiled(inline="always")
def _score_block(k_btd, block, q, head, scores, row, group, fetch, lines):  # type: ignore[no-untyped-def]
    """Score a block for all heads of a group, three at a time; addresses and strides as in lanes.py."""
    g = 0
    while group - g >= 3:
        score3(k_btd, block, q + g * head, head, scores + g * row, row, fetch, lines)
        g, fetch = g + 3, fetch + lines * LINE
    if group - g == 2:
        score2(k_btd, block, q + g * head, head, scores + g * row, row, fetch, lines)
    elif group - g == 1:
        score1(k_btd, block, q + g * head, head, scores + g * row, row, fetch, lines)


@compiled(inline="always")
def _mix_block(v_btd, block, weights, row, out, head, group, fetch, lines):  # type: ignore[no-untyped-def]
    """Add a block's weighted values to the outputs of all heads of a group, three at a time."""
    g = 0
    while group - g >= 3:
        mix3(v_btd, block, weights + g * row, row, out + g * head, head, fetch, lines)
        g, fetch = g + 3, fetch + lines * LINE
    if group - g == 2:
        mix2(v_btd, block, weights + g * row, row, out + g * head, head, fetch, lines)
    elif group - g == 1:
        mix1(v_btd, block, weights + g * row, row, out + g * head, head, fetch, lines)


@compiled(fastmath=FASTMATH)
def _mix_last(out_gd, v_td, weights_gt, count, base):  # type: ignore[no-untyped-def]
    """Add weights . v over the first `count` places of a block that is not full.

    The other places may hold NaN of an earlier sequence, and 0 x NaN would spread.
    """
    for g in range(out_gd.shape[0]):
        for t in range(count):
            w = weights_gt[g, base + t]
            for c in range(out_gd.shape[1]):
                out_gd[g, c] += w * to_float(v_td[t, c])


@compiled(fastmath=FASTMATH)
def _softmax(scores_t, length, scale):  # type: ignore[no-untyped-def]
    """Turn the first `length` scores into weights, in place; the rest of the last block gets weight 0."""
    whole = -(-length // BLOCK_SIZE) * BLOCK_SIZE
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
def _attend_row(q_gd, out_gd, k_btd, v_btd, row_b, length, scale, scores_gt):  # type: ignore[no-untyped-def]
    group, used, whole = q_gd.shape[0], -(-length // BLOCK_SIZE), length // BLOCK_SIZE
    q, out, scores = q_gd.ctypes.data, out_gd.ctypes.data, scores_gt.ctypes.data
    head, row, width = q_gd.strides[0], scores_gt.strides[0], BLOCK_SIZE * scores_gt.itemsize
    k, v, size = k_btd.ctypes.data, v_btd.ctypes.data, k_btd.strides[0]
    lines = -(-size // (LINE * ((group + 2) // 3)))
    distance = max(1, _AHEAD // size)
    for b in range(used):
        ahead = b + distance
        fetch = k + row_b[ahead] * size if ahead < used else v + row_b[min(ahead - used, used - 1)] * size
        _score_block(k_btd, row_b[b], q, head, scores + b * width, row, group, fetch, lines)
    for g in range(group):
        _softmax(scores_gt[g], length, scale)
    out_gd[:] = _ZERO
    for b in range(whole):
        fetch = v + row_b[min(b + distance, used - 1)] * size
        _mix_block(v_btd, row_b[b], scores + b * width, row, out, head, group, fetch, lines)
    if whole < used:
        _mix_last(out_gd, v_btd[row_b[whole]], scores_gt, length - whole * BLOCK_SIZE, whole * BLOCK_SIZE)


@compiled(parallel=True)
def _attend(q_nrgd, out_nrgd, k_btd, v_btd, block_table, lengths, seqs, scale, scores, mass_nrt):  # type: ignore[no-untyped-def]
    """Attend `r` rows of each sequence in parallel; mass_nrt is filled unless it is empty."""
    n, per_seq = q_nrgd.shape[:2]
    for j in prange(n * per_seq):
        i, r = j // per_seq, j % per_seq
        row_b, length = block_table[seqs[i], r], lengths[seqs[i], r]
        weights_gt = scores[numba.get_thread_id()]
        _attend_row(q_nrgd[i, r], out_nrgd[i, r], k_btd, v_btd, row_b, length, scale, weights_gt)
        if mass_nrt.shape[0] > 0:
            for t in range(length):
                mass_nrt[i, r, t] = weights_gt[0, t]
            for g in range(1, weights_gt.shape[0]):
                for t in range(length):
                    mass_nrt[i, r, t] += weights_gt[g, t]


class CpuAttention:
    """Decode attention for a table in CPU memory, fp32 or bf16; arithmetic in fp32."""

    def __init__(self, table: BlockTable, heads: int) -> None:
        assert table.dtype in (torch.float32, torch.bfloat16), table.dtype
        self.table, self.group = table, heads // table.kv_heads
        # Scratch of each worker; a block of scores is a whole cache line, so that two workers never write to one.
        places = table.block_table.shape[-1] * BLOCK_SIZE
        # A parallel kernel sets OpenMP's thread count to numba's, for torch too; keep a smaller count of the user's.
        workers = min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS)
        numba.set_num_threads(workers)
        self._scores: NDArray[np.float32] = np.empty((workers, self.group, places), np.float32)
        self._scores_of_one: NDArray[np.float32] = np.empty((workers, 1, places), np.float32)
        self._scale = np.float32(1 / math.sqrt(table.head_dim))

    def __call__(self, layer: int, seqs: NDArray[np.int64], q_nhd: Tensor) -> Tensor:
        """Attend each sequence's new query to all that its rows hold. Returns out_nhd in q's dtype."""
        return self._run(q_nhd, self.table.block_table[layer], self.table.lengths[layer], seqs, self._scores, _NO_MASS)

    def weighed(self, layer: int, seqs: NDArray[np.int64], q_nhd: Tensor) -> tuple[Tensor, NDArray[np.float32]]:
        """Attend as a call does, and return the attention on each place, mass_nkt."""
        block_table, lengths = self.table.block_table[layer], self.table.lengths[layer]
        mass_nkt = np.zeros((len(seqs), self.table.kv_heads, int(lengths[seqs].max())), np.float32)
        return self._run(q_nhd, block_table, lengths, seqs, self._scores, mass_nkt), mass_nkt

    def selected(self, q_nhd: Tensor, blocks_nhb: NDArray[np.int32], lengths_nh: NDArray[np.int32]) -> Tensor:
        """Attend each query head to blocks of its own. Returns out_nhd in q's dtype."""
        every = np.arange(len(blocks_nhb), dtype=np.int64)
        return self._run(q_nhd, blocks_nhb, lengths_nh, every, self._scores_of_one, _NO_MASS)

    def _run(
        self, q_nhd: Tensor, block_table: NDArray[np.int32], lengths: NDArray[np.int32], seqs: NDArray[np.int64],
        scores: NDArray[np.float32], mass_nrt: NDArray[np.float32],
    ) -> Tensor:  # fmt: skip
        n, heads, head_dim = q_nhd.shape
        q_nrgd = q_nhd.float().contiguous().numpy().reshape(n, block_table.shape[1], -1, head_dim)
        out_nrgd = np.empty_like(q_nrgd)
        pools = self.table.k_bits, self.table.v_bits
        _attend(q_nrgd, out_nrgd, *pools, block_table, lengths, seqs, self._scale, scores, mass_nrt)
        return torch.from_numpy(out_nrgd).reshape(n, heads, head_dim).to(q_nhd.dtype)
