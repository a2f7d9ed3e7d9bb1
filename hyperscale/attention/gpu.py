"""Decode attention over ragged paged rows on a GPU (Triton).

A row is cut into splits of 256 tokens, each a program of its own, so the work follows the live tokens: a row of 10
tokens is one short program, whatever its neighbours hold. A second kernel joins a row's splits, and a third computes
the attention on each place for the policies that need it. The cuts depend on a row's length alone, so a sequence's
result does not depend on its batch. Storage is fp32, bf16 or fp16; arithmetic is fp32, with products in tf32 where q,
keys and values have 16 bits (tf32 holds those exactly, and cuts a softmax weight by less than 2^-10).

Tested in Triton's interpreter on a CPU and compiled for compute capabilities 8.0 and 9.0; it has run on no GPU so far.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
import triton
import triton.language as tl
from numpy.typing import NDArray
from torch import Tensor

from hyperscale.kvcache.block_pool import BLOCK_SIZE, blocks_for
from hyperscale.kvcache.block_table import BlockTable

SPLIT_BLOCKS = 16
SPLIT = SPLIT_BLOCKS * BLOCK_SIZE
"""Most KV tokens that one program attends."""
_WIDTH = SPLIT_BLOCKS + 4
"""int32 a split in the work list: its blocks, its row, its tokens, its first token, and one for 16-byte alignment."""
_TILE = 4096
"""Numbers in a tile of keys: two tiles of fp32 keys and values in flight take half of the smallest shared memory."""
_SIXTEEN_BITS = (torch.bfloat16, torch.float16)


@triton.jit  # type: ignore[untyped-decorator, unused-ignore]
def _attend_splits(  # type: ignore[no-untyped-def]
    q, k, v, work, out, tops, totals, scores, scale, GROUP: tl.constexpr, GROUP_PAD: tl.constexpr, DIM: tl.constexpr,
    DIM_PAD: tl.constexpr, BLOCK: tl.constexpr, BLOCKS: tl.constexpr, WIDTH: tl.constexpr, TILE: tl.constexpr,
    PRECISION: tl.constexpr, KEEP: tl.constexpr,
):  # fmt: skip
    """Attend one split for the heads of a group: unnormalised output, greatest score, sum of weights."""
    item = tl.program_id(0).to(tl.int64)
    row, tokens = tl.load(work + item * WIDTH + BLOCKS), tl.load(work + item * WIDTH + BLOCKS + 1)
    # Heads and channels are padded to powers of two, heads to the 16 that a matrix product takes at least.
    g, c = tl.arange(0, GROUP_PAD), tl.arange(0, DIM_PAD)
    inside_gc = (g < GROUP)[:, None] & (c < DIM)[None, :]
    q_gc = tl.load(q + (row * GROUP + g)[:, None] * DIM + c[None, :], mask=inside_gc, other=0.0).to(tl.float32)
    top_g = tl.full((GROUP_PAD,), float("-inf"), tl.float32)
    total_g = tl.zeros((GROUP_PAD,), tl.float32)
    out_gc = tl.zeros((GROUP_PAD, DIM_PAD), tl.float32)
    for first in range(0, tokens, TILE):
        t = first + tl.arange(0, TILE)
        live = t < tokens
        # Nothing is read past the row's end: it may hold NaN of an earlier sequence, and 0 x NaN would spread.
        block = tl.load(work + item * WIDTH + t // BLOCK, mask=live, other=0).to(tl.int64)
        place_tc = (block * BLOCK + t % BLOCK)[:, None] * DIM + c[None, :]
        inside_tc = live[:, None] & (c < DIM)[None, :]
        k_tc = tl.load(k + place_tc, mask=inside_tc, other=0.0).to(tl.float32)
        score_gt = tl.dot(q_gc, tl.trans(k_tc), input_precision=PRECISION)
        score_gt = tl.where(live[None, :], score_gt, float("-inf"))
        if KEEP:
            kept = scores + (item * GROUP + g)[:, None] * (BLOCKS * BLOCK) + t[None, :]
            tl.store(kept, score_gt, mask=(g < GROUP)[:, None] & live[None, :])
        higher_g = tl.maximum(top_g, tl.max(score_gt, 1))
        faded_g = tl.exp2((top_g - higher_g) * scale)
        weight_gt = tl.exp2((score_gt - higher_g[:, None]) * scale)
        v_tc = tl.load(v + place_tc, mask=inside_tc, other=0.0).to(tl.float32)
        out_gc = out_gc * faded_g[:, None] + tl.dot(weight_gt, v_tc, input_precision=PRECISION)
        total_g = total_g * faded_g + tl.sum(weight_gt, 1)
        top_g = higher_g
    tl.store(out + (item * GROUP + g)[:, None] * DIM + c[None, :], out_gc, mask=inside_gc)
    tl.store(tops + item * GROUP + g, top_g, mask=g < GROUP)
    tl.store(totals + item * GROUP + g, total_g, mask=g < GROUP)


@triton.jit  # type: ignore[untyped-decorator, unused-ignore]
def _join_splits(  # type: ignore[no-untyped-def]
    bounds, out, tops, totals, joined, joined_tops, joined_totals, scale, GROUP: tl.constexpr, DIM: tl.constexpr,
    DIM_PAD: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """Join all splits of a row, items bounds[row] .. bounds[row + 1], for one query head."""
    row, g = tl.program_id(0), tl.program_id(1)
    first, end = tl.load(bounds + row), tl.load(bounds + row + 1)
    c = tl.arange(0, DIM_PAD)
    # One vector, reduced at the end: a running scalar would wait for every tile.
    top_s = tl.full((TILE,), float("-inf"), tl.float32)
    for start in range(first, end, TILE):
        s = start + tl.arange(0, TILE)
        top_s = tl.maximum(top_s, tl.load(tops + s * GROUP + g, mask=s < end, other=float("-inf")))
    top = tl.max(top_s, 0)
    total_s = tl.zeros((TILE,), tl.float32)
    sum_c = tl.zeros((DIM_PAD,), tl.float32)
    for start in range(first, end, TILE):
        s = start + tl.arange(0, TILE)
        weight_s = tl.exp2((tl.load(tops + s * GROUP + g, mask=s < end, other=float("-inf")) - top) * scale)
        total_s += weight_s * tl.load(totals + s * GROUP + g, mask=s < end, other=0.0)
        place_sc = (s.to(tl.int64) * GROUP + g)[:, None] * DIM + c[None, :]
        part_sc = tl.load(out + place_sc, mask=(s < end)[:, None] & (c < DIM)[None, :], other=0.0)
        sum_c += tl.sum(weight_s[:, None] * part_sc, 0)
    total = tl.sum(total_s, 0)
    tl.store(joined + (row * GROUP + g) * DIM + c, sum_c / total, mask=c < DIM)
    tl.store(joined_tops + row * GROUP + g, top)
    tl.store(joined_totals + row * GROUP + g, total)


@triton.jit(do_not_specialize=["longest"])  # type: ignore[untyped-decorator, unused-ignore]
def _weigh_places(  # type: ignore[no-untyped-def]
    work, scores, tops, totals, mass, scale, longest, GROUP: tl.constexpr, BLOCKS: tl.constexpr, WIDTH: tl.constexpr,
    SPLIT: tl.constexpr,
):  # fmt: skip
    """Compute the attention on each place of one split, summed over the heads of the group."""
    item = tl.program_id(0).to(tl.int64)
    row, tokens = tl.load(work + item * WIDTH + BLOCKS), tl.load(work + item * WIDTH + BLOCKS + 1)
    first = tl.load(work + item * WIDTH + BLOCKS + 2)
    t = tl.arange(0, SPLIT)
    mass_t = tl.zeros((SPLIT,), tl.float32)
    for g in range(GROUP):
        score_t = tl.load(scores + (item * GROUP + g) * SPLIT + t, mask=t < tokens, other=float("-inf"))
        top, total = tl.load(tops + row * GROUP + g), tl.load(totals + row * GROUP + g)
        mass_t += tl.exp2((score_t - top) * scale) / total
    tl.store(mass + row.to(tl.int64) * longest + first + t, mass_t, mask=t < tokens)


class _Splits(NamedTuple):
    """Work list of one call, on the device."""

    work: Tensor
    """(splits, _WIDTH)."""
    bounds: Tensor
    """(r + 1,): where each row's splits begin."""

    @classmethod
    def of(cls, blocks_rb: NDArray[np.int32], lengths_r: NDArray[np.int32], device: torch.device) -> _Splits:
        """Cut rows into splits and upload the list in one transfer."""
        counts_r = -(-lengths_r // SPLIT)
        most = int(counts_r.max())
        padded = np.zeros((len(blocks_rb), most * SPLIT_BLOCKS), np.int32)
        padded[:, : blocks_rb.shape[1]] = blocks_rb[:, : padded.shape[1]]
        row, split = np.nonzero(np.arange(most) < counts_r[:, None])
        sent = np.zeros(len(row) * _WIDTH + len(counts_r) + 1, np.int32)
        work, bounds = sent[: len(row) * _WIDTH].reshape(-1, _WIDTH), sent[len(row) * _WIDTH :]
        work[:, :SPLIT_BLOCKS] = padded.reshape(-1, most, SPLIT_BLOCKS)[row, split]
        work[:, SPLIT_BLOCKS] = row
        work[:, SPLIT_BLOCKS + 1] = np.minimum(lengths_r[row] - split * SPLIT, SPLIT)
        work[:, SPLIT_BLOCKS + 2] = split * SPLIT
        np.cumsum(counts_r, out=bounds[1:])
        there = torch.from_numpy(sent).to(device)
        return cls(there[: work.size].view(work.shape), there[work.size :])


class GpuAttention:
    """Decode attention for a table in a GPU's memory: fp32, bf16 or fp16, any group, any head_dim up to 256."""

    def __init__(self, table: BlockTable, heads: int) -> None:
        assert table.dtype in (torch.float32, *_SIXTEEN_BITS), table.dtype
        self.table, self._scale = table, math.log2(math.e) / math.sqrt(table.head_dim)

    def __call__(self, layer: int, seqs: NDArray[np.int64], q_nhd: Tensor) -> Tensor:
        """Attend each sequence's new query to all that its rows hold. Returns out_nhd in q's dtype."""
        return self._run(q_nhd, *self._held(layer, seqs), weigh=False)[0]

    def weighed(self, layer: int, seqs: NDArray[np.int64], q_nhd: Tensor) -> tuple[Tensor, NDArray[np.float32]]:
        """Attend as a call does, and return the attention on each place, mass_nkt."""
        out_nhd, mass_nkt = self._run(q_nhd, *self._held(layer, seqs), weigh=True)
        return out_nhd, mass_nkt.cpu().numpy()

    def selected(self, q_nhd: Tensor, blocks_nhb: NDArray[np.int32], lengths_nh: NDArray[np.int32]) -> Tensor:
        """Attend each query head to blocks of its own. Returns out_nhd in q's dtype."""
        return self._run(q_nhd, blocks_nhb, lengths_nh, weigh=False)[0]

    def _held(self, layer: int, seqs: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        lengths_nk = self.table.lengths[layer, seqs]
        return self.table.block_table[layer, seqs, :, : blocks_for(int(lengths_nk.max()))], lengths_nk

    def _run(
        self, q_nhd: Tensor, blocks_nrb: NDArray[np.int32], lengths_nr: NDArray[np.int32], weigh: bool
    ) -> tuple[Tensor, Tensor]:
        assert (lengths_nr > 0).all()
        table, (n, heads, dim), r = self.table, q_nhd.shape, lengths_nr.shape[1]
        group, dim_pad = heads // r, max(triton.next_power_of_2(dim), 16)
        splits = _Splits.of(blocks_nrb.reshape(n * r, -1), lengths_nr.ravel(), table.device)
        items = len(splits.work)

        def floats(*shape: int) -> Tensor:
            return torch.empty(shape, dtype=torch.float32, device=table.device)

        # Each in memory of its own: the kernels are compiled for pointers to multiples of 16 bytes.
        parts_igd, tops_ig, totals_ig = floats(items, group, dim), floats(items, group), floats(items, group)
        out_nhd, tops_nh, totals_nh = floats(n, heads, dim), floats(n, heads), floats(n, heads)
        scores_igt = floats(items if weigh else 0, group, SPLIT)
        mass_nrt = floats(n, r, int(lengths_nr.max()) if weigh else 0).zero_()
        narrow = q_nhd.dtype in _SIXTEEN_BITS and table.dtype in _SIXTEEN_BITS
        with torch.cuda.device(q_nhd.get_device()):  # -1, no device, for a CPU tensor in the interpreter.
            _attend_splits[(items,)](
                q_nhd.contiguous(), table.k_btd, table.v_btd, splits.work, parts_igd, tops_ig, totals_ig, scores_igt,
                self._scale, GROUP=group, GROUP_PAD=max(triton.next_power_of_2(group), 16), DIM=dim, DIM_PAD=dim_pad,
                BLOCK=BLOCK_SIZE, BLOCKS=SPLIT_BLOCKS, WIDTH=_WIDTH, TILE=min(max(_TILE // dim_pad, 16), 64),
                PRECISION="tf32" if narrow else "ieee", KEEP=weigh, num_warps=4, num_stages=2,
            )  # fmt: skip
            _join_splits[(n * r, group)](
                splits.bounds, parts_igd, tops_ig, totals_ig, out_nhd, tops_nh, totals_nh, self._scale,
                GROUP=group, DIM=dim, DIM_PAD=dim_pad, TILE=16,
            )  # fmt: skip
            if weigh:
                _weigh_places[(items,)](
                    splits.work, scores_igt, tops_nh, totals_nh, mass_nrt, self._scale, mass_nrt.shape[2],
                    GROUP=group, BLOCKS=SPLIT_BLOCKS, WIDTH=_WIDTH, SPLIT=SPLIT,
                )  # fmt: skip
        # Rounded here, not by the kernel: in bf16 Triton's interpreter loses the carry.
        return out_nhd.to(q_nhd.dtype), mass_nrt
