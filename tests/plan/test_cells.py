"""The batches and contexts that are measured, and their order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperscale.plan.cells import Cell, batches, contexts, decode_cells, prefill_cells


def test_contexts_are_powers_of_two_and_every_length() -> None:
    assert contexts(20, [64, 96]) == [16, 32, 64, 96]
    assert contexts(3, [512]) == [8, 16, 32, 64, 128, 256, 512]
    assert contexts(512, [512]) == [512]


@pytest.mark.parametrize(
    ("most", "expected"), [(0, []), (1, [1]), (7, [1, 7]), (8, [1, 8]), (200, [1, 8, 32, 128, 200])]
)
def test_batches_end_with_the_most(most: int, expected: list[int]) -> None:
    assert batches(most) == expected


@given(shortest=st.integers(1, 300), lengths=st.sets(st.integers(8, 5000), min_size=1), room=st.integers(1, 10**6))
def test_every_cell_is_named_once_and_the_corners_are_needed(shortest: int, lengths: set[int], room: int) -> None:
    at = contexts(min(shortest, min(lengths)), lengths)

    def most(context: int) -> int:
        return min(64, room // context)

    needed, others = decode_cells(at, most)
    every = [*needed, *others]
    assert len(set(every)) == len(every)
    assert set(every) == {Cell("decode", batch, context) for context in at for batch in batches(most(context))}
    reached = [context for context in at if most(context)]
    if reached:
        ends = {reached[0], reached[-1]}
        assert set(needed) == {Cell("decode", batch, context) for context in ends for batch in {1, most(context)}}


def test_prefills_reach_the_longest_prompt() -> None:
    needed, others = prefill_cells(20, 100)
    assert [cell.context for cell in needed] == [100, 16]
    assert sorted(cell.context for cell in others) == [32, 64]
