"""The pool of pages: every free page is found, none is handed out twice, whatever the pool's size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperscale.kvcache.block_pool import PagePool, release, take


def plain(compiled: Any) -> Callable[..., Any]:
    """The Python that was compiled."""
    function: Callable[..., Any] = compiled.py_func
    return function


@given(pages=st.integers(1, 70), row_pages=st.integers(1, 40), seed=st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_pages_are_handed_out_once_and_all_of_them(pages: int, row_pages: int, seed: int) -> None:
    """In plain Python, where an index beyond the pool raises: pools end within an extent."""
    rng, pool = np.random.default_rng(seed), PagePool(pages, row_pages)
    rows: list[list[int]] = []
    for _ in range(200):
        if pool.free and rng.random() < 0.8:
            open_rows = [row for row in rows if len(row) < row_pages]
            if not open_rows or rng.random() < 0.2:
                row: list[int] = []
                rows.append(row)
            else:
                row = open_rows[rng.integers(len(open_rows))]
            table = np.array([*row, *[0] * (row_pages - len(row))], np.int32)
            row.append(int(plain(take)(table, len(row), len(row), pool.books)))
        elif rows:
            plain(release)(np.array(rows.pop(rng.integers(len(rows))), np.int32), pool.books)
        held = [page for row in rows for page in row]
        assert len(set(held)) == len(held)
        assert all(0 <= page < pages for page in held)
        assert pool.free == pages - len(held)
        assert (pool.references[held] == 1).all()
        assert pool.references.sum() == len(held)
