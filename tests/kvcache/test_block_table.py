"""Paged rows against plain lists, over long random runs of everything that can be done to them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hyperscale.kvcache.block_table import PAGE_SIZE, Rows, pages_for

LAYERS, KV_HEADS, HEAD_DIM, SLOTS, MAX_LENGTH = 2, 2, 4, 4, 100


def new_rows(pages: int = LAYERS * KV_HEADS * SLOTS * (pages_for(MAX_LENGTH) + 1)) -> Rows:
    return Rows(
        layers=LAYERS, kv_heads=KV_HEADS, head_dim=HEAD_DIM, slots=SLOTS, max_length=MAX_LENGTH, pages=pages,
        dtype=torch.float32, device=torch.device("cpu"),
    )  # fmt: skip


class RowsMachine(RuleBasedStateMachine):
    """The model: each open slot is a list of tokens; a token is one number, which names its key."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = new_rows()
        self.model: dict[int, list[int]] = {}
        self.shared: dict[int, set[int]] = {}  # pages of a row that are still those of what a slot was forked from
        self.counter = 0

    def values(self, tokens: list[int], layer: int) -> torch.Tensor:
        heads = torch.arange(KV_HEADS)[None, :, None] * 0.25
        return (torch.tensor(tokens, dtype=torch.float32)[:, None, None] + heads + layer * 0.5).expand(-1, -1, HEAD_DIM)

    def fresh(self, count: int) -> list[int]:
        self.counter += count
        return list(range(self.counter - count, self.counter))

    @precondition(lambda self: len(self.model) < SLOTS)
    @rule(chunks=st.lists(st.integers(1, 2), max_size=2), tail=st.integers(1, 20))
    def open_and_prefill(self, chunks: list[int], tail: int) -> None:
        slot = self.rows.open()
        self.model[slot], self.shared[slot] = [], set()
        for size in [chunk * PAGE_SIZE for chunk in chunks] + [tail]:
            tokens = self.fresh(size)
            self.model[slot] += tokens
            for layer in range(LAYERS):
                self.rows.extend(layer, slot, self.values(tokens, layer), -self.values(tokens, layer))

    @precondition(lambda self: self.model and len(self.model) < SLOTS)
    @rule(data=st.data())
    def fork(self, data: st.DataObject) -> None:
        source = data.draw(st.sampled_from(sorted(self.model)))
        slot = self.rows.fork(source)
        self.model[slot] = list(self.model[source])
        self.shared[slot] = set(range(pages_for(len(self.model[source]))))

    @precondition(lambda self: self.model)
    @rule(data=st.data(), steps=st.integers(1, 20))
    def append(self, data: st.DataObject, steps: int) -> None:
        chosen = data.draw(st.lists(st.sampled_from(sorted(self.model)), min_size=1, unique=True))
        chosen = [slot for slot in chosen if len(self.model[slot]) + steps <= MAX_LENGTH]
        for _ in range(steps if chosen else 0):
            tokens = self.fresh(len(chosen))
            for slot, token in zip(chosen, tokens, strict=True):
                self.shared[slot].discard(len(self.model[slot]) // PAGE_SIZE)
                self.model[slot].append(token)
            for layer in range(LAYERS):
                k = self.values(tokens, layer)
                self.rows.append(layer, np.array(chosen), k, -k)

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def overwrite(self, data: st.DataObject) -> None:
        chosen = data.draw(st.lists(st.sampled_from(sorted(self.model)), min_size=1, unique=True))
        places = [data.draw(st.integers(0, len(self.model[slot]) - 1)) for slot in chosen]
        tokens = self.fresh(len(chosen))
        for slot, place, token in zip(chosen, places, tokens, strict=True):
            self.model[slot][place] = token
            self.shared[slot].discard(place // PAGE_SIZE)
        places_nk = np.repeat(np.array(places)[:, None], KV_HEADS, axis=1)
        for layer in range(LAYERS):
            k = self.values(tokens, layer)
            self.rows.put(layer, np.array(chosen), places_nk, k, -k)

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        slot = data.draw(st.sampled_from(sorted(self.model)))
        self.rows.close(slot)
        del self.model[slot], self.shared[slot]

    @invariant()
    def rows_hold_what_the_lists_hold(self) -> None:
        for slot, tokens in self.model.items():
            for layer in range(LAYERS):
                expected = self.values(tokens, layer)
                for head in range(KV_HEADS):
                    k, v = self.rows.gather(layer, slot, head)
                    assert torch.equal(k, expected[:, head])
                    assert torch.equal(v, -expected[:, head])

    @invariant()
    def counts_are_right(self) -> None:
        slots = np.array(sorted(self.model), np.int64)
        rows = LAYERS * KV_HEADS
        assert self.rows.live(slots).tolist() == [rows * len(self.model[s]) for s in slots]
        for slot, tokens in self.model.items():
            shared = len(self.shared[slot])
            assert self.rows.shared[slot] == rows * shared
            assert self.rows.own[slot] == rows * (pages_for(len(tokens)) - shared)

    @invariant()
    def pages_are_shared_and_given_back(self) -> None:
        used = {
            int(page)
            for slot, tokens in self.model.items()
            for page in self.rows.table[:, slot, :, : pages_for(len(tokens))].ravel()
        }
        assert self.rows.pages_in_use == len(used)
        # Distinct contents: two sequences share a page exactly when one forked it and neither wrote to it since.
        contents = {
            tuple(tokens[start : start + PAGE_SIZE])
            for tokens in self.model.values()
            for start in range(0, len(tokens), PAGE_SIZE)
        }
        assert len(used) >= LAYERS * KV_HEADS * len(contents)
        logical = sum(len(tokens) for tokens in self.model.values()) * LAYERS * KV_HEADS
        assert len(used) * PAGE_SIZE <= 1.15 * logical + len(self.model) * LAYERS * KV_HEADS * PAGE_SIZE


TestRows = RowsMachine.TestCase
TestRows.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)


def test_forks_share_whole_pages_and_copy_only_what_is_written():
    rows = new_rows()
    source = rows.open()
    for layer in range(LAYERS):
        rows.extend(layer, source, *(torch.ones(40, KV_HEADS, HEAD_DIM) for _ in range(2)))
    prompt_pages = LAYERS * KV_HEADS * 3
    assert rows.pages_in_use == prompt_pages
    forks = [rows.fork(source) for _ in range(3)]
    assert rows.pages_in_use == prompt_pages
    for layer in range(LAYERS):
        rows.append(layer, np.array(forks[:2]), *(torch.zeros(2, KV_HEADS, HEAD_DIM) for _ in range(2)))
    # Two forks wrote into the third, partly filled page: each has a copy of its own.
    assert rows.pages_in_use == prompt_pages + 2 * LAYERS * KV_HEADS
    for slot in [source, *forks]:
        rows.close(slot)
    assert rows.pages_in_use == 0


def test_the_last_holder_of_a_page_writes_in_place():
    rows = new_rows()
    source = rows.open()
    for layer in range(LAYERS):
        rows.extend(layer, source, *(torch.ones(5, KV_HEADS, HEAD_DIM) for _ in range(2)))
    fork = rows.fork(source)
    rows.close(source)
    for layer in range(LAYERS):
        rows.append(layer, np.array([fork]), *(torch.zeros(1, KV_HEADS, HEAD_DIM) for _ in range(2)))
    assert rows.pages_in_use == LAYERS * KV_HEADS
    assert rows.own[fork] == LAYERS * KV_HEADS


def test_a_pool_that_runs_dry_is_an_invariant_broken():
    rows = new_rows(pages=LAYERS * KV_HEADS)
    slot = rows.open()
    for layer in range(LAYERS):
        rows.extend(layer, slot, *(torch.ones(16, KV_HEADS, HEAD_DIM) for _ in range(2)))
    with pytest.raises(AssertionError, match="ran dry"):
        rows.append(0, np.array([slot]), *(torch.ones(1, KV_HEADS, HEAD_DIM) for _ in range(2)))


def test_pages_of_a_row_lie_side_by_side_while_there_are_enough() -> None:
    """Rows that grow in turns, as in decoding, and one that was prefilled."""
    rows = new_rows()
    slots = np.array([rows.open() for _ in range(3)])
    tokens = torch.zeros(len(slots), KV_HEADS, HEAD_DIM)
    for _ in range(70):
        for layer in range(LAYERS):
            rows.append(layer, slots, tokens, tokens)
    prefilled = rows.open()
    for layer in range(LAYERS):
        rows.extend(layer, prefilled, torch.zeros(64, KV_HEADS, HEAD_DIM), torch.zeros(64, KV_HEADS, HEAD_DIM))
    # 7 pages are the most of a row here: extents of 4.
    for slot in (*slots, prefilled):
        first = rows.table[:, slot, :, :4]
        assert (np.diff(first) == 1).all()
        assert (first[..., 0] % 4 == 0).all()


def test_every_page_is_handed_out_however_they_were_broken_up() -> None:
    """Extents that rows began and left are used by others before the pool is dry."""
    rows = new_rows(pages=LAYERS * KV_HEADS * 9)
    token = torch.zeros(1, KV_HEADS, HEAD_DIM)
    for _ in range(3):
        slots = [np.array([rows.open()]) for _ in range(4)]
        for slot, tokens in zip(slots, (1, 33, 49, 17), strict=True):  # 1 + 3 + 4 + 2 pages, less the first one
            for layer in range(LAYERS):
                for _ in range(tokens if slot[0] != slots[0][0] else 0):
                    rows.append(layer, slot, token, token)
        assert rows.free_pages == 0
        held = [rows.table[:, slot[0], :, : pages_for(int(rows.lengths[0, slot[0], 0]))].ravel() for slot in slots]
        assert len(set(np.concatenate(held).tolist())) == rows.pages
        for slot in slots:
            rows.close(int(slot[0]))
        assert rows.pages_in_use == 0
