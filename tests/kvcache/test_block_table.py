"""The block table against plain lists, over long random runs of everything that can be done to it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hyperscale.kvcache.block_pool import BLOCK_SIZE, blocks_for
from hyperscale.kvcache.block_table import BlockTable

LAYERS, KV_HEADS, HEAD_DIM, SEQS, MAX_LENGTH = 2, 2, 4, 4, 100


def new_table(blocks: int = LAYERS * KV_HEADS * SEQS * (blocks_for(MAX_LENGTH) + 1)) -> BlockTable:
    return BlockTable(
        layers=LAYERS, kv_heads=KV_HEADS, head_dim=HEAD_DIM, seqs=SEQS, max_length=MAX_LENGTH, blocks=blocks,
        dtype=torch.float32, device=torch.device("cpu"),
    )  # fmt: skip


class BlockTableMachine(RuleBasedStateMachine):
    """The model: each open seq is a list of tokens; a token is one number, which names its key."""

    def __init__(self) -> None:
        super().__init__()
        self.table = new_table()
        self.model: dict[int, list[int]] = {}
        self.shared: dict[int, set[int]] = {}  # blocks of a row that are still those of what a seq was forked from
        self.counter = 0

    def values(self, tokens: list[int], layer: int) -> torch.Tensor:
        heads = torch.arange(KV_HEADS)[None, :, None] * 0.25
        return (torch.tensor(tokens, dtype=torch.float32)[:, None, None] + heads + layer * 0.5).expand(-1, -1, HEAD_DIM)

    def fresh(self, count: int) -> list[int]:
        self.counter += count
        return list(range(self.counter - count, self.counter))

    @precondition(lambda self: len(self.model) < SEQS)
    @rule(chunks=st.lists(st.integers(1, 2), max_size=2), tail=st.integers(1, 20))
    def open_and_prefill(self, chunks: list[int], tail: int) -> None:
        seq = self.table.open()
        self.model[seq], self.shared[seq] = [], set()
        for size in [chunk * BLOCK_SIZE for chunk in chunks] + [tail]:
            tokens = self.fresh(size)
            self.model[seq] += tokens
            for layer in range(LAYERS):
                self.table.extend(layer, seq, self.values(tokens, layer), -self.values(tokens, layer))

    @precondition(lambda self: self.model and len(self.model) < SEQS)
    @rule(data=st.data())
    def fork(self, data: st.DataObject) -> None:
        source = data.draw(st.sampled_from(sorted(self.model)))
        seq = self.table.fork(source)
        self.model[seq] = list(self.model[source])
        self.shared[seq] = set(range(blocks_for(len(self.model[source]))))

    @precondition(lambda self: self.model)
    @rule(data=st.data(), steps=st.integers(1, 20))
    def append(self, data: st.DataObject, steps: int) -> None:
        chosen = data.draw(st.lists(st.sampled_from(sorted(self.model)), min_size=1, unique=True))
        chosen = [seq for seq in chosen if len(self.model[seq]) + steps <= MAX_LENGTH]
        for _ in range(steps if chosen else 0):
            tokens = self.fresh(len(chosen))
            for seq, token in zip(chosen, tokens, strict=True):
                self.shared[seq].discard(len(self.model[seq]) // BLOCK_SIZE)
                self.model[seq].append(token)
            for layer in range(LAYERS):
                k = self.values(tokens, layer)
                self.table.append(layer, np.array(chosen), k, -k)

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def overwrite(self, data: st.DataObject) -> None:
        chosen = data.draw(st.lists(st.sampled_from(sorted(self.model)), min_size=1, unique=True))
        places = [data.draw(st.integers(0, len(self.model[seq]) - 1)) for seq in chosen]
        tokens = self.fresh(len(chosen))
        for seq, place, token in zip(chosen, places, tokens, strict=True):
            self.model[seq][place] = token
            self.shared[seq].discard(place // BLOCK_SIZE)
        places_nk = np.repeat(np.array(places)[:, None], KV_HEADS, axis=1)
        for layer in range(LAYERS):
            k = self.values(tokens, layer)
            self.table.put(layer, np.array(chosen), places_nk, k, -k)

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        seq = data.draw(st.sampled_from(sorted(self.model)))
        self.table.close(seq)
        del self.model[seq], self.shared[seq]

    @invariant()
    def rows_hold_what_the_lists_hold(self) -> None:
        for seq, tokens in self.model.items():
            for layer in range(LAYERS):
                expected = self.values(tokens, layer)
                for head in range(KV_HEADS):
                    k, v = self.table.gather(layer, seq, head)
                    assert torch.equal(k, expected[:, head])
                    assert torch.equal(v, -expected[:, head])

    @invariant()
    def counts_are_right(self) -> None:
        seqs = np.array(sorted(self.model), np.int64)
        rows = LAYERS * KV_HEADS
        assert self.table.live(seqs).tolist() == [rows * len(self.model[s]) for s in seqs]
        for seq, tokens in self.model.items():
            shared = len(self.shared[seq])
            assert self.table.shared[seq] == rows * shared
            assert self.table.own[seq] == rows * (blocks_for(len(tokens)) - shared)

    @invariant()
    def pages_are_shared_and_given_back(self) -> None:
        used = {
            int(block)
            for seq, tokens in self.model.items()
            for block in self.table.block_table[:, seq, :, : blocks_for(len(tokens))].ravel()
        }
        assert self.table.blocks_in_use == len(used)
        # Distinct contents: two sequences share a block exactly when one forked it and neither wrote to it since.
        contents = {
            tuple(tokens[start : start + BLOCK_SIZE])
            for tokens in self.model.values()
            for start in range(0, len(tokens), BLOCK_SIZE)
        }
        assert len(used) >= LAYERS * KV_HEADS * len(contents)
        logical = sum(len(tokens) for tokens in self.model.values()) * LAYERS * KV_HEADS
        assert len(used) * BLOCK_SIZE <= 1.15 * logical + len(self.model) * LAYERS * KV_HEADS * BLOCK_SIZE


TestBlockTable = BlockTableMachine.TestCase
TestBlockTable.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)


def test_forks_share_whole_blocks_and_copy_only_what_is_written():
    table = new_table()
    source = table.open()
    for layer in range(LAYERS):
        table.extend(layer, source, *(torch.ones(40, KV_HEADS, HEAD_DIM) for _ in range(2)))
    prompt_blocks = LAYERS * KV_HEADS * 3
    assert table.blocks_in_use == prompt_blocks
    forks = [table.fork(source) for _ in range(3)]
    assert table.blocks_in_use == prompt_blocks
    for layer in range(LAYERS):
        table.append(layer, np.array(forks[:2]), *(torch.zeros(2, KV_HEADS, HEAD_DIM) for _ in range(2)))
    # Two forks wrote into the third, partly filled block: each has a copy of its own.
    assert table.blocks_in_use == prompt_blocks + 2 * LAYERS * KV_HEADS
    for seq in [source, *forks]:
        table.close(seq)
    assert table.blocks_in_use == 0


def test_the_last_holder_of_a_block_writes_in_place():
    table = new_table()
    source = table.open()
    for layer in range(LAYERS):
        table.extend(layer, source, *(torch.ones(5, KV_HEADS, HEAD_DIM) for _ in range(2)))
    fork = table.fork(source)
    table.close(source)
    for layer in range(LAYERS):
        table.append(layer, np.array([fork]), *(torch.zeros(1, KV_HEADS, HEAD_DIM) for _ in range(2)))
    assert table.blocks_in_use == LAYERS * KV_HEADS
    assert table.own[fork] == LAYERS * KV_HEADS


def test_a_pool_that_runs_dry_is_an_invariant_broken():
    table = new_table(blocks=LAYERS * KV_HEADS)
    seq = table.open()
    for layer in range(LAYERS):
        table.extend(layer, seq, *(torch.ones(16, KV_HEADS, HEAD_DIM) for _ in range(2)))
    with pytest.raises(AssertionError, match="ran dry"):
        table.append(0, np.array([seq]), *(torch.ones(1, KV_HEADS, HEAD_DIM) for _ in range(2)))


def test_blocks_of_a_row_lie_side_by_side_while_there_are_enough() -> None:
    """Rows that grow in turns, as in decoding, and one that was prefilled."""
    table = new_table()
    seqs = np.array([table.open() for _ in range(3)])
    tokens = torch.zeros(len(seqs), KV_HEADS, HEAD_DIM)
    for _ in range(70):
        for layer in range(LAYERS):
            table.append(layer, seqs, tokens, tokens)
    prefilled = table.open()
    for layer in range(LAYERS):
        table.extend(layer, prefilled, torch.zeros(64, KV_HEADS, HEAD_DIM), torch.zeros(64, KV_HEADS, HEAD_DIM))
    # 7 blocks are the most of a row here: extents of 4.
    for seq in (*seqs, prefilled):
        first = table.block_table[:, seq, :, :4]
        assert (np.diff(first) == 1).all()
        assert (first[..., 0] % 4 == 0).all()


def test_every_block_is_handed_out_however_they_were_broken_up() -> None:
    """Extents that rows began and left are used by others before the pool is dry."""
    table = new_table(blocks=LAYERS * KV_HEADS * 9)
    token = torch.zeros(1, KV_HEADS, HEAD_DIM)
    for _ in range(3):
        seqs = [np.array([table.open()]) for _ in range(4)]
        for seq, tokens in zip(seqs, (1, 33, 49, 17), strict=True):  # 1 + 3 + 4 + 2 blocks, less the first one
            for layer in range(LAYERS):
                for _ in range(tokens if seq[0] != seqs[0][0] else 0):
                    table.append(layer, seq, token, token)
        assert table.free_blocks == 0
        held = [table.block_table[:, seq[0], :, : blocks_for(int(table.lengths[0, seq[0], 0]))].ravel() for seq in seqs]
        assert len(set(np.concatenate(held).tolist())) == table.blocks
        for seq in seqs:
            table.close(int(seq[0]))
        assert table.blocks_in_use == 0


def forked_table() -> BlockTable:
    """A prompt of three blocks a row, a fork, and a copy of the last block."""
    table = new_table()
    source = table.open()
    for layer in range(LAYERS):
        table.extend(layer, source, *(torch.ones(40, KV_HEADS, HEAD_DIM) for _ in range(2)))
    fork = table.fork(source)
    for layer in range(LAYERS):
        table.append(layer, np.array([fork]), *(torch.zeros(1, KV_HEADS, HEAD_DIM) for _ in range(2)))
    return table


def leak_a_reference(table: BlockTable) -> None:
    table.pool.ref_count[table.block_table[0, 0, 0, 0]] += 1


def forget_to_copy(table: BlockTable) -> None:
    table.block_table[0, 1, 0, 2] = table.block_table[0, 0, 0, 2]


def lose_a_free_block(table: BlockTable) -> None:
    table.pool.state.counters[0] -= 1


def lose_an_extent(table: BlockTable) -> None:
    table.pool.state.counters[1] -= 1


def miscount_an_extent(table: BlockTable) -> None:
    table.pool.state.free_in_extent[-1] -= 1


def release_twice(table: BlockTable) -> None:
    table.pool.ref_count[table.block_table[0, 1, 0, 2]] -= 2


def miscount_own_blocks(table: BlockTable) -> None:
    table.own[1] += 1


def keep_tokens_of_a_closed_sequence(table: BlockTable) -> None:
    table.lengths[0, 2, 0] = 1


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (leak_a_reference, "ref_count of blocks"),
        (forget_to_copy, "ref_count of blocks"),
        (lose_a_free_block, "blocks are counted as free"),
        (lose_an_extent, "stack of whole extents"),
        (miscount_an_extent, "count of free blocks"),
        (release_twice, "released more often"),
        (miscount_own_blocks, "sequence 1: own"),
        (keep_tokens_of_a_closed_sequence, "closed sequence holds tokens"),
    ],
)
def test_a_damaged_table_is_found(damage: Callable[[BlockTable], None], message: str) -> None:
    table = forked_table()
    table.check_integrity()
    damage(table)
    with pytest.raises(AssertionError, match=message):
        table.check_integrity()
