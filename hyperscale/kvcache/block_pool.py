"""The pool of KV blocks: reference counts, memory, and an allocator that keeps the blocks of a row side by side.

Blocks of 2 to 4 KB that are scattered cost an address translation each, and no hardware prefetches them. So blocks are
taken from *extents* of up to 32: block b of a row is, where possible, block b % 32 of an extent that no other row has
begun. Blocks of an extent that its row never takes stay free for others once no whole extent is left.
"""

from __future__ import annotations

import math
import mmap
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hyperscale.hardware.jit import compiled

BLOCK_SIZE = 16
"""KV tokens a block. Physical memory exceeds live tokens by at most one block a row."""

MAX_EXTENT = 32
"""Most blocks that are kept together for one row while there are enough."""
_FREE, _WHOLE, _CURSOR = 0, 1, 2

# What Python maps by default is shared memory, which takes no huge pages.
_PRIVATE = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_ANONYMOUS") else {}


def blocks_for(tokens: int) -> int:
    """Blocks that hold `tokens` KV tokens of one row."""
    return -(-tokens // BLOCK_SIZE)


class PoolState(NamedTuple):
    """The allocator's state, as the compiled functions take it."""

    ref_count: NDArray[np.int32]
    """Rows that hold each block; 0: free."""
    free_in_extent: NDArray[np.int64]
    """Free blocks of each extent."""
    whole_extents: NDArray[np.int64]
    """A stack of the extents whose blocks are all free; `counters` has its height."""
    counters: NDArray[np.int64]
    """Free blocks, whole extents, and where the search for a single free block goes on."""
    extent: int
    """Blocks an extent; the pool may end within its last one, which is never whole."""


@compiled()
def take(row_b, b, used, pool):  # type: ignore[no-untyped-def]
    """Take a free block for block `b` of a row (`row_b`, of which `used` blocks are in use), with one reference.

    With none free it returns 0 and the count of free blocks turns negative, which the caller must never let happen.
    """
    if pool.counters[_FREE] <= 0:
        pool.counters[_FREE] -= 1
        return 0
    block, extent = -1, pool.extent
    for near in (b - 1, b + 1):
        if 0 <= near < used and near // extent == b // extent and row_b[near] % extent == near % extent:
            beside = row_b[near] - near + b
            # The pool may end within an extent.
            if beside < len(pool.ref_count) and pool.ref_count[beside] == 0:
                block = beside
    if block < 0 and pool.counters[_WHOLE] > 0:
        pool.counters[_WHOLE] -= 1
        block = pool.whole_extents[pool.counters[_WHOLE]] * extent + b % extent
    if block < 0:
        block = pool.counters[_CURSOR]
        while pool.ref_count[block] != 0:
            block = (block + 1) % len(pool.ref_count)
        pool.counters[_CURSOR] = block
    pool.ref_count[block] = 1
    pool.free_in_extent[block // extent] -= 1
    pool.counters[_FREE] -= 1
    return block


@compiled()
def release(blocks, pool):  # type: ignore[no-untyped-def]
    """Drop one reference to each of `blocks`; those without any become free."""
    extent = pool.extent
    for block in blocks:
        pool.ref_count[block] -= 1
        if pool.ref_count[block] == 0:
            pool.counters[_FREE] += 1
            pool.free_in_extent[block // extent] += 1
            if pool.free_in_extent[block // extent] == extent:
                pool.whole_extents[pool.counters[_WHOLE]] = block // extent
                pool.counters[_WHOLE] += 1


@compiled()
def take_run(block_table_kb, first, count, pool):  # type: ignore[no-untyped-def]
    """Take `count` blocks for each of these rows, from its block `first` on."""
    for k in range(block_table_kb.shape[0]):
        for b in range(first, first + count):
            block_table_kb[k, b] = take(block_table_kb[k], b, b, pool)


class BlockPool:
    """Reference counts of `blocks` blocks. `row_blocks`, the most that a row can hold, bounds the extents."""

    def __init__(self, blocks: int, row_blocks: int) -> None:
        assert blocks < 2**31
        extent = min(MAX_EXTENT, 1 << (max(row_blocks, 1).bit_length() - 1))
        extents = blocks // extent
        self.blocks = blocks
        free_in_extent = np.full(-(-blocks // extent), extent, np.int64)
        free_in_extent[extents:] = blocks % extent
        self.state = PoolState(
            ref_count=np.zeros(blocks, np.int32),
            free_in_extent=free_in_extent,
            whole_extents=np.arange(extents - 1, -1, -1, dtype=np.int64),
            counters=np.array([blocks, extents, 0], np.int64),
            extent=extent,
        )

    @property
    def ref_count(self) -> NDArray[np.int32]:
        """Rows that hold each block."""
        return self.state.ref_count

    @property
    def free(self) -> int:
        """Blocks without a reference; negative if more were asked for than there were."""
        return int(self.state.counters[_FREE])

    def check_integrity(self) -> None:
        """Assert that free and referenced blocks make up the pool, and that every extent's count is right."""
        state = self.state
        free_b = state.ref_count == 0
        assert (state.ref_count >= 0).all(), "a block was released more often than it was taken"
        assert self.free == free_b.sum(), f"{self.free} blocks are counted as free, {free_b.sum()} have no reference"
        counted = np.bincount(np.flatnonzero(free_b) // state.extent, minlength=len(state.free_in_extent))
        assert (counted == state.free_in_extent).all(), "an extent's count of free blocks is wrong"
        stack = state.whole_extents[: state.counters[_WHOLE]]
        assert sorted(stack) == np.flatnonzero(counted == state.extent).tolist(), "the stack of whole extents is wrong"


def zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Allocate zeros; on a CPU mapped on first touch, so that a large budget costs nothing until it is used.

    Huge pages, because rows are read here and there: a miss of the address cache would cost as much as a block.
    """
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    numbers = math.prod(shape)
    memory = mmap.mmap(-1, max(numbers * torch.empty((), dtype=dtype).element_size(), 1), **_PRIVATE)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # A kernel may be built without them.
            memory.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(memory, dtype=dtype)[:numbers].view(shape)
