"""The pool of blocks: every free block is found, none is handed out twice, whatever the pool's size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperscale.kvcache.block_pool import BlockPool, release, take


def plain(compiled: Any) -> Callable[..., Any]:
    """The Python that was compiled."""
    function: Callable[..., Any] = compiled.py_func
    return function


@given(blocks=st.integers(1, 70), row_blocks=st.integers(1, 40), seed=st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_blocks_are_handed_out_once_and_all_of_them(blocks: int, row_blocks: int, seed: int) -> None:
    """In plain Python, where an index beyond the pool raises: pools end within an extent."""
    rng, pool = np.random.default_rng(seed), BlockPool(blocks, row_blocks)
    rows: list[list[int]] = []
    for _ in range(200):
        if pool.free and rng.random() < 0.8:
            open_rows = [row for row in rows if len(row) < row_blocks]
            if not open_rows or rng.random() < 0.2:
                row: list[int] = []
                rows.append(row)
            else:
                row = open_rows[rng.integers(len(open_rows))]
            row_b = np.array([*row, *[0] * (row_blocks - len(row))], np.int32)
            row.append(int(plain(take)(row_b, len(row), len(row), pool.state)))
        elif rows:
            plain(release)(np.array(rows.pop(rng.integers(len(rows))), np.int32), pool.state)
        held = [block for row in rows for block in row]
        assert len(set(held)) == len(held)
        assert all(0 <= block < blocks for block in held)
        assert pool.free == blocks - len(held)
        assert (pool.ref_count[held] == 1).all()
        assert pool.ref_count.sum() == len(held)
        pool.check_integrity()
