"""Compiled bookkeeping of a write: allocate or copy-on-write the block of each row's next token.

Arrays are of one layer and carry no suffix: `block_table[seq, k, b]`, `lengths[seq, k]`, `own[seq]`; axis letters as in
attention/base.py.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hyperscale.hardware.jit import compiled
from hyperscale.kvcache.block_pool import BLOCK_SIZE, PoolState, take

OWN, NEVER = -1, 2**31 - 1
"""Values of `TableState.cow_step`: the row allocated the block itself; it still shares the block it was forked with."""


class TableState(NamedTuple):
    """One layer of a block table."""

    block_table: NDArray[np.int32]
    """(seqs, kv_heads, blocks): the pool's block at each place of each row's list."""
    cow_step: NDArray[np.int32]
    """(seqs, kv_heads, blocks): tokens put into the row before its copy-on-write of the block; or OWN, NEVER."""
    lengths: NDArray[np.int32]
    """(seqs, kv_heads): KV tokens of each row."""
    steps: NDArray[np.int32]
    """(seqs,): tokens put since the sequence was forked."""
    own: NDArray[np.int64]
    """(seqs,): blocks that are not those of the sequence it was forked from, over all layers."""
    shared: NDArray[np.int64]
    """(seqs,): blocks that still are, over all layers."""


class Claim(NamedTuple):
    """The block that each token goes to, and the copies to make first."""

    blocks_nk: NDArray[np.int64]
    offsets_nk: NDArray[np.int64]
    """Place within the block."""
    cow_c2: NDArray[np.int64]
    """(source, target) of each copy; there are at most n x k."""


@compiled()
def claim(seqs, places_nk, table, pool, claimed):  # type: ignore[no-untyped-def]
    """Fill `claimed` for one token a row at `places_nk`; return how many copies are due.

    A place is a row's length (append) or below it (overwrite). Advances lengths, steps and counts.
    """
    copies = 0
    for i in range(seqs.shape[0]):
        s = seqs[i]
        step = table.steps[s]
        table.steps[s] += 1
        for k in range(table.block_table.shape[1]):
            row_b, cow_step_b, place = table.block_table[s, k], table.cow_step[s, k], places_nk[i, k]
            b = place // BLOCK_SIZE
            used = -(-table.lengths[s, k] // BLOCK_SIZE)
            if b == used:
                row_b[b] = take(row_b, b, used, pool)
                cow_step_b[b] = OWN
                table.own[s] += 1
            else:
                block = row_b[b]
                if pool.ref_count[block] > 1:
                    pool.ref_count[block] -= 1
                    row_b[b] = take(row_b, b, used, pool)
                    claimed.cow_c2[copies, 0], claimed.cow_c2[copies, 1] = block, row_b[b]
                    copies += 1
                if cow_step_b[b] == NEVER:
                    cow_step_b[b] = step
                    table.own[s] += 1
                    table.shared[s] -= 1
            claimed.blocks_nk[i, k], claimed.offsets_nk[i, k] = row_b[b], place % BLOCK_SIZE
            table.lengths[s, k] = max(table.lengths[s, k], place + 1)
    return copies


@compiled()
def occupy(seqs, lengths_k, table, pool):  # type: ignore[no-untyped-def]
    """Give the rows of empty sequences `lengths_k` tokens each, in blocks of their own; what these hold stays."""
    for s in seqs:
        for k in range(table.block_table.shape[1]):
            row_b, count = table.block_table[s, k], -(-lengths_k[k] // BLOCK_SIZE)
            for b in range(count):
                row_b[b] = take(row_b, b, b, pool)
                table.cow_step[s, k, b] = OWN
            table.own[s] += count
            table.lengths[s, k] = lengths_k[k]


@compiled()
def put(k_nkd, v_nkd, k_btd, v_btd, seqs, places_nk, *state):  # type: ignore[no-untyped-def]
    """Claim and write in one call, which at a batch of one costs more than the work.

    `state` is the fields of a TableState and of a PoolState: numba dispatches single arrays faster than a struct.
    """
    table, pool = TableState(*state[:6]), PoolState(*state[6:])
    n, kv_heads, head_dim = k_nkd.shape
    blocks_nk, offsets_nk = np.empty((n, kv_heads), np.int64), np.empty((n, kv_heads), np.int64)
    claimed = Claim(blocks_nk, offsets_nk, np.empty((n * kv_heads, 2), np.int64))
    copies = claim(seqs, places_nk, table, pool, claimed)
    for source, target in claimed.cow_c2[:copies]:
        k_btd[target] = k_btd[source]
        v_btd[target] = v_btd[source]
    for i in range(n):
        for k in range(kv_heads):
            block, offset = blocks_nk[i, k], offsets_nk[i, k]
            for d in range(head_dim):
                k_btd[block, offset, d] = k_nkd[i, k, d]
                v_btd[block, offset, d] = v_nkd[i, k, d]


def empty_claim(n: int, kv_heads: int) -> Claim:
    """Allocate what `claim` fills."""
    blocks_nk, offsets_nk = np.empty((n, kv_heads), np.int64), np.empty((n, kv_heads), np.int64)
    return Claim(blocks_nk, offsets_nk, np.empty((n * kv_heads, 2), np.int64))
