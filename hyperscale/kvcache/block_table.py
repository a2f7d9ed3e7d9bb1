"""Ragged paged rows: the storage of every KV-cache backend.

A row holds the KV tokens of one KV head of one layer of one sequence; rows differ in length. A row is a list
of pages of 16 tokens from one pool that all rows share. Pages are counted by reference: forking a prompt to
its threads shares its pages, and the first write into a shared page copies it. Keys are stored after RoPE, so
the order of slots within a row is free.

The bookkeeping (page table, lengths, references) lives in host memory; keys and values live on the device.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hyperscale.hardware.jit import bits, compiled
from hyperscale.kvcache.block_pool import PagePool, release, take, take_run

PAGE_SIZE = 16
"""KV tokens a page. Physical memory exceeds live tokens by at most one page a row."""


OWN, NEVER = -1, 2**31 - 1
"""When a row copied a page that it was forked with: pages of its own are marked, and those that it still shares."""

# What Python maps by default is shared memory, which takes no huge pages.
_PRIVATE = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_ANONYMOUS") else {}


@compiled()
def _claim(slots, places_nk, books, pool, pages, offsets, copies):  # type: ignore[no-untyped-def]
    """Find the page of each row's place for the next token; returns how many shared pages must be copied first.

    A place is a row's length (its end) or below it (a slot that is overwritten).
    """
    table, copied_at, lengths, steps, own, shared = books
    references, copied = pool[0], 0
    for i in range(slots.shape[0]):
        s = slots[i]
        step = steps[s]
        steps[s] += 1
        for h in range(table.shape[1]):
            place = places_nk[i, h]
            p, offset = place // PAGE_SIZE, place % PAGE_SIZE
            used = -(-lengths[s, h] // PAGE_SIZE)
            if p == used:
                table[s, h, p] = take(table[s, h], p, used, pool)
                copied_at[s, h, p] = OWN
                own[s] += 1
            else:
                page = table[s, h, p]
                if references[page] > 1:
                    references[page] -= 1
                    table[s, h, p] = take(table[s, h], p, used, pool)
                    copies[copied, 0], copies[copied, 1] = page, table[s, h, p]
                    copied += 1
                if copied_at[s, h, p] == NEVER:
                    copied_at[s, h, p] = step
                    own[s] += 1
                    shared[s] -= 1
            pages[i, h], offsets[i, h] = table[s, h, p], offset
            lengths[s, h] = max(lengths[s, h], place + 1)
    return copied


@compiled()
def _put(k_nkd, v_nkd, k_ptd, v_ptd, slots, places_nk, books, pool):  # type: ignore[no-untyped-def]
    """`_claim` and the writing, in one call: at a batch of one, calls are what takes time."""
    n, kv_heads, head_dim = k_nkd.shape
    pages, offsets = np.empty((n, kv_heads), np.int64), np.empty((n, kv_heads), np.int64)
    copies = np.empty((n * kv_heads, 2), np.int64)
    copied = _claim(slots, places_nk, books, pool, pages, offsets, copies)
    for source, target in copies[:copied]:
        k_ptd[target] = k_ptd[source]
        v_ptd[target] = v_ptd[source]
    for i in range(n):
        for h in range(kv_heads):
            page, offset = pages[i, h], offsets[i, h]
            for c in range(head_dim):
                k_ptd[page, offset, c] = k_nkd[i, h, c]
                v_ptd[page, offset, c] = v_nkd[i, h, c]


class Rows:
    """The rows of up to `slots` sequences of at most `max_length` tokens, over a pool of `pages` pages."""

    def __init__(
        self, *, layers: int, kv_heads: int, head_dim: int, slots: int, max_length: int, pages: int,
        dtype: torch.dtype, device: torch.device,
    ) -> None:  # fmt: skip
        self.layers, self.kv_heads, self.head_dim, self.pages = layers, kv_heads, head_dim, pages
        self.dtype, self.device = dtype, device
        self.k_ptd = _pool(pages, head_dim, dtype, device)
        self.v_ptd = _pool(pages, head_dim, dtype, device)
        if device.type == "cpu":
            self.k_bits, self.v_bits = bits(self.k_ptd), bits(self.v_ptd)
        row_pages = pages_for(max_length)
        self.table: NDArray[np.int32] = np.zeros((layers, slots, kv_heads, row_pages), np.int32)
        self.lengths: NDArray[np.int32] = np.zeros((layers, slots, kv_heads), np.int32)
        self.own: NDArray[np.int64] = np.zeros(slots, np.int64)
        """Pages of each slot that it does not owe to the sequence it was forked from."""
        self.shared: NDArray[np.int64] = np.zeros(slots, np.int64)
        """Pages of each slot that are still those of the sequence it was forked from."""
        self._copied_at: NDArray[np.int32] = np.full(self.table.shape, OWN, np.int32)
        # Of what a slot was forked with: pages of each row. And tokens put into its rows since.
        self._forked_pages: NDArray[np.int64] = np.zeros((layers, slots, kv_heads), np.int64)
        self._steps: NDArray[np.int32] = np.zeros((layers, slots), np.int32)
        self.pool = PagePool(pages, row_pages)
        self._free_slots = list(range(slots - 1, -1, -1))

    @property
    def pages_in_use(self) -> int:
        """Pages that at least one row refers to."""
        return self.pages - self.pool.free

    @property
    def free_pages(self) -> int:
        """Pages that no row refers to."""
        return self.pool.free

    @property
    def free_slots(self) -> int:
        """Sequences that can still be opened."""
        return len(self._free_slots)

    def live(self, slots: NDArray[np.int64]) -> NDArray[np.int64]:
        """KV tokens held by each of these sequences, summed over layers and KV heads."""
        return self.lengths[:, slots].sum(axis=(0, 2), dtype=np.int64)

    def most_new_pages(self, slots: Sequence[int]) -> NDArray[np.int64]:
        """Most pages that the next token can take of the pool, of each of these sequences: one a row at most.

        A row takes one where its pages are full, or where it writes to one that it shares.
        """
        lengths = self.lengths[:, list(slots)]
        full = (lengths % PAGE_SIZE == 0).sum(axis=(0, 2), dtype=np.int64)
        return np.minimum(full + self.shared[list(slots)], self.layers * self.kv_heads)

    def open(self) -> int:
        """A slot for a new, empty sequence."""
        assert self._free_slots, "no free slot: admission must not open more sequences than there are slots"
        return self._free_slots.pop()

    def fork(self, source: int) -> int:
        """A slot whose rows share all pages of `source`; a page is copied when either side writes to it."""
        slot = self.open()
        self._forked_pages[:, slot] = -(-self.lengths[:, source] // PAGE_SIZE)
        used = int(self._forked_pages[:, slot].max())
        self.table[:, slot, :, :used] = self.table[:, source, :, :used]
        self.lengths[:, slot] = self.lengths[:, source]
        self._steps[:, slot] = 0
        held = self._held(source)
        np.add.at(self.pool.references, held, 1)
        self._copied_at[:, slot, :, :used] = NEVER
        self.own[slot], self.shared[slot] = 0, len(held)
        return slot

    def close(self, slot: int) -> None:
        """Give the slot and its references to pages back."""
        release(self._held(slot), self.pool.books)
        self.lengths[:, slot] = 0
        self.own[slot] = self.shared[slot] = 0
        self._free_slots.append(slot)

    def steps_shared(self, slot: int) -> NDArray[np.int64]:
        """For each page that a slot was forked with, row by row: tokens put into the row before it copied the page.

        `NEVER` where it still shares it.
        """
        copied_at = self._copied_at[:, slot]
        pages = np.arange(copied_at.shape[-1])
        return copied_at[pages < self._forked_pages[:, slot, :, None]].astype(np.int64)

    def open_slots(self) -> list[int]:
        """Every slot that is open."""
        return sorted(set(range(self.lengths.shape[1])) - set(self._free_slots))

    def append(self, layer: int, slots: NDArray[np.int64], k_nkd: Tensor, v_nkd: Tensor) -> None:
        """Put one token at the end of every row that these sequences have in `layer`."""
        self.put(layer, slots, self.lengths[layer, slots], k_nkd, v_nkd)

    def put(
        self, layer: int, slots: NDArray[np.int64], places_nk: NDArray[np.integer], k_nkd: Tensor, v_nkd: Tensor
    ) -> None:
        """Put one token into every row that these sequences have in `layer`: at its end, or over an older token.

        `places_nk[i, h]` is a slot of the row, at most its length.
        """
        assert (places_nk <= self.lengths[layer, slots]).all()
        claim = self._claim_of(layer, slots, places_nk)
        if self.device.type == "cpu":
            _put(bits(k_nkd.contiguous()), bits(v_nkd.contiguous()), self.k_bits, self.v_bits, *claim)
        else:
            self._put_on_device(k_nkd, v_nkd, claim)
        assert self.pool.free >= 0, "the pool ran dry: admission must reserve every page that a thread can need"

    def _claim_of(self, layer: int, slots: NDArray[np.int64], places_nk: NDArray[np.integer]) -> tuple[Any, ...]:
        books = (
            self.table[layer], self._copied_at[layer], self.lengths[layer], self._steps[layer], self.own, self.shared,
        )  # fmt: skip
        return slots, places_nk, books, self.pool.books

    def _put_on_device(self, k_nkd: Tensor, v_nkd: Tensor, claim: tuple[Any, ...]) -> None:
        shape = k_nkd.shape[:2]
        pages, offsets = np.empty(shape, np.int64), np.empty(shape, np.int64)
        copies = np.empty((shape[0] * shape[1], 2), np.int64)
        copied = _claim(*claim, pages, offsets, copies)
        source, target = torch.from_numpy(copies[:copied].T.copy()).to(self.device)
        index = torch.from_numpy(pages).to(self.device), torch.from_numpy(offsets).to(self.device)
        for pool_ptd, values_nkd in ((self.k_ptd, k_nkd), (self.v_ptd, v_nkd)):
            pool_ptd[target] = pool_ptd[source]
            pool_ptd[index] = values_nkd

    def extend(self, layer: int, slot: int, k_tkd: Tensor, v_tkd: Tensor) -> None:
        """Put t tokens at the end of the rows that a sequence has in `layer`; they must end at a page's end."""
        length, tokens = int(self.lengths[layer, slot, 0]), k_tkd.shape[0]
        assert (self.lengths[layer, slot] == length).all()
        assert length % PAGE_SIZE == 0
        first, count = length // PAGE_SIZE, pages_for(tokens)
        need = count * self.kv_heads
        assert need <= self.pool.free, "the pool ran dry: admission must reserve the prompt's pages"
        take_run(self.table[layer, slot], first, count, self.pool.books)
        taken = self.table[layer, slot, :, first : first + count]
        self._copied_at[layer, slot, :, first : first + count] = OWN
        self.lengths[layer, slot] += tokens
        self.own[slot] += need
        index = torch.from_numpy(taken.ravel().astype(np.int64)).to(self.device)
        for pool_ptd, values_tkd in ((self.k_ptd, k_tkd), (self.v_ptd, v_tkd)):
            padded = values_tkd.new_zeros(count * PAGE_SIZE, self.kv_heads, self.head_dim)
            padded[:tokens] = values_tkd
            by_page = padded.view(count, PAGE_SIZE, self.kv_heads, self.head_dim).permute(2, 0, 1, 3)
            pool_ptd[index] = by_page.reshape(need, PAGE_SIZE, self.head_dim)

    def fill(self, layer: int, slot: int, head: int, k_td: Tensor, v_td: Tensor) -> None:
        """Put t tokens into one row of a sequence, which is empty: rows of a layer may differ in what they keep."""
        tokens, count = k_td.shape[0], pages_for(k_td.shape[0])
        assert self.lengths[layer, slot, head] == 0
        assert count <= self.pool.free, "the pool ran dry: admission must reserve the prompt's pages"
        take_run(self.table[layer, slot, head : head + 1], 0, count, self.pool.books)
        taken = self.table[layer, slot, head, :count]
        self._copied_at[layer, slot, head, :count] = OWN
        self.lengths[layer, slot, head] = tokens
        self.own[slot] += count
        index = torch.from_numpy(taken.astype(np.int64)).to(self.device)
        for pool_ptd, values_td in ((self.k_ptd, k_td), (self.v_ptd, v_td)):
            padded = values_td.new_zeros(count * PAGE_SIZE, self.head_dim)
            padded[:tokens] = values_td
            pool_ptd[index] = padded.view(count, PAGE_SIZE, self.head_dim)

    def gather_all(self, layer: int, slot: int) -> tuple[Tensor, Tensor]:
        """Keys and values of all rows that a sequence has in `layer`, equally long: k_tkd, v_tkd."""
        rows = [self.gather(layer, slot, head) for head in range(self.kv_heads)]
        k_tkd, v_tkd = (torch.stack(parts, dim=1) for parts in zip(*rows, strict=True))
        return k_tkd, v_tkd

    def gather(self, layer: int, slot: int, head: int) -> tuple[Tensor, Tensor]:
        """Keys and values of one row, in the order of its slots: k_td, v_td."""
        length = int(self.lengths[layer, slot, head])
        index = torch.from_numpy(self.table[layer, slot, head, : pages_for(length)].astype(np.int64)).to(self.device)
        k, v = (pool[index].reshape(-1, self.head_dim)[:length] for pool in (self.k_ptd, self.v_ptd))
        return k, v

    def _held(self, slot: int) -> NDArray[np.int32]:
        used = -(-self.lengths[:, slot] // PAGE_SIZE)
        mask = np.arange(self.table.shape[-1]) < used[..., None]
        return self.table[:, slot][mask]


def pages_for(tokens: int) -> int:
    """Pages that hold `tokens` KV tokens of one row."""
    return -(-tokens // PAGE_SIZE)


def _pool(pages: int, head_dim: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    if device.type != "cpu":
        return torch.zeros(pages, PAGE_SIZE, head_dim, dtype=dtype, device=device)
    # Mapped on first touch, so a large budget costs nothing until it is used; in huge pages, because rows are
    # read here and there, and a miss of the address cache would cost as much as the page.
    item = torch.empty((), dtype=dtype).element_size()
    memory = mmap.mmap(-1, max(pages * PAGE_SIZE * head_dim * item, 1), **_PRIVATE)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # A kernel may be built without them.
            memory.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(memory, dtype=dtype)[: pages * PAGE_SIZE * head_dim].view(pages, PAGE_SIZE, head_dim)
