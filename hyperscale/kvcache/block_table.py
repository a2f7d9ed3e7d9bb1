"""The block table: ragged, paged storage under every KV-cache backend.

A *row* holds the KV tokens of one KV head of one layer of one sequence; rows differ in length. A row is a list of
blocks of 16 tokens from a pool that all rows share. Forking a prompt into its threads shares the prompt's blocks by
reference count; the first write into a shared block copies it (copy-on-write). Keys are stored after RoPE, so the order
of tokens within a row is free; a *place* is an index into a row, `seq` the index of a sequence in the table.

Bookkeeping (block table, lengths, reference counts) lies in host memory; keys and values lie on the device.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hyperscale.hardware.jit import bits
from hyperscale.kvcache.block_pool import BLOCK_SIZE, BlockPool, blocks_for, release, take_run, zeros
from hyperscale.kvcache.claim import NEVER, OWN, TableState, claim, empty_claim, occupy, put

_RAN_DRY = "the pool ran dry: the scheduler must reserve every block that a sequence can need"


class BlockTable:
    """Rows of up to `seqs` sequences of at most `max_length` tokens, over a pool of `blocks` blocks."""

    def __init__(
        self, *, layers: int, kv_heads: int, head_dim: int, seqs: int, max_length: int, blocks: int,
        dtype: torch.dtype, device: torch.device,
    ) -> None:  # fmt: skip
        self.layers, self.kv_heads, self.head_dim, self.blocks = layers, kv_heads, head_dim, blocks
        self.dtype, self.device = dtype, device
        self.k_btd = zeros((blocks, BLOCK_SIZE, head_dim), dtype, device)
        self.v_btd = zeros((blocks, BLOCK_SIZE, head_dim), dtype, device)
        if device.type == "cpu":
            self.k_bits, self.v_bits = bits(self.k_btd), bits(self.v_btd)
        row_blocks = blocks_for(max_length)
        self.block_table: NDArray[np.int32] = np.zeros((layers, seqs, kv_heads, row_blocks), np.int32)
        self.lengths: NDArray[np.int32] = np.zeros((layers, seqs, kv_heads), np.int32)
        self.own: NDArray[np.int64] = np.zeros(seqs, np.int64)
        """Blocks of each sequence that are not those of the one it was forked from."""
        self.shared: NDArray[np.int64] = np.zeros(seqs, np.int64)
        """Blocks of each sequence that still are those of the one it was forked from."""
        self._cow_step: NDArray[np.int32] = np.full(self.block_table.shape, OWN, np.int32)
        self._forked_blocks: NDArray[np.int64] = np.zeros((layers, seqs, kv_heads), np.int64)
        self._steps: NDArray[np.int32] = np.zeros((layers, seqs), np.int32)
        # The arrays are never replaced, so each layer's views are taken once.
        per_layer = zip(self.block_table, self._cow_step, self.lengths, self._steps, strict=True)
        self._state = [TableState(*arrays, self.own, self.shared) for arrays in per_layer]
        self.pool = BlockPool(blocks, row_blocks)
        self._free_seqs = list(range(seqs - 1, -1, -1))

    @property
    def blocks_in_use(self) -> int:
        """Blocks that at least one row holds."""
        return self.blocks - self.pool.free

    @property
    def free_blocks(self) -> int:
        """Blocks that no row holds."""
        return self.pool.free

    @property
    def free_seqs(self) -> int:
        """Sequences that can still be opened."""
        return len(self._free_seqs)

    def open_seqs(self) -> list[int]:
        """List every sequence that is open."""
        return sorted(set(range(self.lengths.shape[1])) - set(self._free_seqs))

    def live(self, seqs: NDArray[np.int64]) -> NDArray[np.int64]:
        """Count the KV tokens held by each of these sequences, summed over layers and KV heads."""
        tokens_n: NDArray[np.int64] = self.lengths[:, seqs].sum(axis=(0, 2), dtype=np.int64)
        return tokens_n

    def most_new_blocks(self, seqs: Sequence[int]) -> NDArray[np.int64]:
        """Bound the blocks that each sequence's next token can take: one for a row that is full or must copy."""
        lengths_lnk = self.lengths[:, list(seqs)]
        full_n: NDArray[np.int64] = (lengths_lnk % BLOCK_SIZE == 0).sum(axis=(0, 2), dtype=np.int64)
        most_n: NDArray[np.int64] = np.minimum(full_n + self.shared[list(seqs)], self.layers * self.kv_heads)
        return most_n

    def open(self) -> int:
        """Open a new, empty sequence; returns its `seq`."""
        assert self._free_seqs, "no free sequence: the scheduler must not open more than the table has"
        return self._free_seqs.pop()

    def fork(self, source: int) -> int:
        """Open a sequence that shares all blocks of `source`; a block is copied when either side writes to it."""
        seq = self.open()
        self._forked_blocks[:, seq] = -(-self.lengths[:, source] // BLOCK_SIZE)
        used = int(self._forked_blocks[:, seq].max())
        self.block_table[:, seq, :, :used] = self.block_table[:, source, :, :used]
        self.lengths[:, seq] = self.lengths[:, source]
        self._steps[:, seq] = 0
        held = self._held_blocks(source)
        np.add.at(self.pool.ref_count, held, 1)
        self._cow_step[:, seq, :, :used] = NEVER
        self.own[seq], self.shared[seq] = 0, len(held)
        return seq

    def close(self, seq: int) -> None:
        """Close a sequence and release its references to blocks."""
        release(self._held_blocks(seq), self.pool.state)
        self.lengths[:, seq] = 0
        self.own[seq] = self.shared[seq] = 0
        self._free_seqs.append(seq)

    def steps_shared(self, seq: int) -> NDArray[np.int64]:
        """Tokens put into a row before its copy-on-write, for each block that `seq` was forked with, row by row.

        `NEVER` where the block is still shared.
        """
        cow_step = self._cow_step[:, seq]
        blocks = np.arange(cow_step.shape[-1])
        return cow_step[blocks < self._forked_blocks[:, seq, :, None]].astype(np.int64)

    def append(self, layer: int, seqs: NDArray[np.int64], k_nkd: Tensor, v_nkd: Tensor) -> None:
        """Put one token at the end of every row that these sequences have in `layer`."""
        self.put(layer, seqs, self.lengths[layer, seqs], k_nkd, v_nkd)

    def put(
        self, layer: int, seqs: NDArray[np.int64], places_nk: NDArray[np.integer], k_nkd: Tensor, v_nkd: Tensor
    ) -> None:
        """Put one token into every row that these sequences have in `layer`: at its end, or over an older token.

        `places_nk[i, k]` is at most the row's length.
        """
        assert (places_nk <= self.lengths[layer, seqs]).all()
        if self.device.type == "cpu":
            k_bits, v_bits = bits(k_nkd.contiguous()), bits(v_nkd.contiguous())
            put(k_bits, v_bits, self.k_bits, self.v_bits, seqs, places_nk, *self._state[layer], *self.pool.state)
        else:
            self._put_on_device(layer, seqs, places_nk, k_nkd, v_nkd)
        assert self.pool.free >= 0, _RAN_DRY

    def _put_on_device(
        self, layer: int, seqs: NDArray[np.int64], places_nk: NDArray[np.integer], k_nkd: Tensor, v_nkd: Tensor
    ) -> None:
        claimed = empty_claim(len(seqs), self.kv_heads)
        copies = claim(seqs, places_nk, self._state[layer], self.pool.state, claimed)
        source, target = torch.from_numpy(claimed.cow_c2[:copies].T.copy()).to(self.device)
        index = tuple(torch.from_numpy(x).to(self.device) for x in (claimed.blocks_nk, claimed.offsets_nk))
        for pool_btd, values_nkd in ((self.k_btd, k_nkd), (self.v_btd, v_nkd)):
            pool_btd[target] = pool_btd[source]
            pool_btd[index] = values_nkd

    def extend(self, layer: int, seq: int, k_tkd: Tensor, v_tkd: Tensor) -> None:
        """Put t tokens at the end of the rows that a sequence has in `layer`; they must end at a block's end."""
        length, tokens = int(self.lengths[layer, seq, 0]), k_tkd.shape[0]
        assert (self.lengths[layer, seq] == length).all()
        assert length % BLOCK_SIZE == 0
        first, count = length // BLOCK_SIZE, blocks_for(tokens)
        taken = self._take_run(layer, seq, slice(0, self.kv_heads), first, count)
        self.lengths[layer, seq] += tokens
        for pool_btd, values_tkd in ((self.k_btd, k_tkd), (self.v_btd, v_tkd)):
            padded = values_tkd.new_zeros(count * BLOCK_SIZE, self.kv_heads, self.head_dim)
            padded[:tokens] = values_tkd
            by_block = padded.view(count, BLOCK_SIZE, self.kv_heads, self.head_dim).permute(2, 0, 1, 3)
            pool_btd[taken] = by_block.reshape(len(taken), BLOCK_SIZE, self.head_dim)

    def fill(self, layer: int, seq: int, head: int, k_td: Tensor, v_td: Tensor) -> None:
        """Put t tokens into one row of a sequence, which is empty: rows of a layer may differ in what they keep."""
        tokens, count = k_td.shape[0], blocks_for(k_td.shape[0])
        assert self.lengths[layer, seq, head] == 0
        taken = self._take_run(layer, seq, slice(head, head + 1), 0, count)
        self.lengths[layer, seq, head] = tokens
        for pool_btd, values_td in ((self.k_btd, k_td), (self.v_btd, v_td)):
            padded = values_td.new_zeros(count * BLOCK_SIZE, self.head_dim)
            padded[:tokens] = values_td
            pool_btd[taken] = padded.view(count, BLOCK_SIZE, self.head_dim)

    def occupy(self, seqs: NDArray[np.int64], lengths_lk: NDArray[np.int32]) -> NDArray[np.int64]:
        """Give every row of these sequences, which are empty, `lengths_lk[layer, head]` tokens in blocks of its own.

        For measurements: the tokens are what the blocks held before. Returns the blocks.
        """
        assert not self.lengths[:, seqs].any()
        assert len(seqs) * int((-(-lengths_lk // BLOCK_SIZE)).sum()) <= self.pool.free, _RAN_DRY
        for lengths_k, state in zip(lengths_lk, self._state, strict=True):
            occupy(seqs, lengths_k, state, self.pool.state)
        return np.concatenate([self._held_blocks(seq) for seq in seqs.tolist()]).astype(np.int64)

    def gather_all(self, layer: int, seq: int) -> tuple[Tensor, Tensor]:
        """Read keys and values of all rows that a sequence has in `layer`, equally long: k_tkd, v_tkd."""
        rows = [self.gather(layer, seq, head) for head in range(self.kv_heads)]
        k_tkd, v_tkd = (torch.stack(side, dim=1) for side in zip(*rows, strict=True))
        return k_tkd, v_tkd

    def gather(self, layer: int, seq: int, head: int) -> tuple[Tensor, Tensor]:
        """Read keys and values of one row in the order of its places: k_td, v_td."""
        length = int(self.lengths[layer, seq, head])
        blocks = self.block_table[layer, seq, head, : blocks_for(length)]
        index = torch.from_numpy(blocks.astype(np.int64)).to(self.device)
        k_td, v_td = (pool_btd[index].reshape(-1, self.head_dim)[:length] for pool_btd in (self.k_btd, self.v_btd))
        return k_td, v_td

    def check_integrity(self) -> None:
        """Assert that the pool is whole and that reference counts and each sequence's counts are what the rows hold.

        Walks all open sequences: for tests and idle moments.
        """
        self.pool.check_integrity()
        held: NDArray[np.int64] = np.zeros(self.blocks, np.int64)
        for seq in self.open_seqs():
            blocks = self._held_blocks(seq)
            np.add.at(held, blocks, 1)
            assert self.own[seq] + self.shared[seq] == len(blocks), f"sequence {seq}: own + shared blocks are wrong"
        wrong = np.flatnonzero(held != self.pool.ref_count)
        assert not len(wrong), f"ref_count of blocks {wrong[:5].tolist()} is not the number of rows that hold them"
        assert not self.lengths[:, self._free_seqs].any(), "a closed sequence holds tokens"

    def _take_run(self, layer: int, seq: int, heads: slice, first: int, count: int) -> Tensor:
        """Take `count` blocks from block `first` on for some rows of a sequence; returns them, head by head."""
        blocks_kb = self.block_table[layer, seq, heads]
        assert count * len(blocks_kb) <= self.pool.free, _RAN_DRY
        take_run(blocks_kb, first, count, self.pool.state)
        run = slice(first, first + count)
        self._cow_step[layer, seq, heads, run] = OWN
        self.own[seq] += count * len(blocks_kb)
        return torch.from_numpy(blocks_kb[:, run].ravel().astype(np.int64)).to(self.device)

    def _held_blocks(self, seq: int) -> NDArray[np.int32]:
        used = -(-self.lengths[:, seq] // BLOCK_SIZE)
        return self.block_table[:, seq][np.arange(self.block_table.shape[-1]) < used[..., None]]
