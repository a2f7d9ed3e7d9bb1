"""Which page of the pool a row takes: the neighbour of the one that it has, so that a row is read as one stretch.

Pages of 2 to 4 KB that lie here and there cost an address translation each, and no hardware foresees them. So pages
come in extents of up to 32, and a row's page p is, where it can be, page p % 32 of one that no other row has begun.
What of an extent a row never takes stays free, for whoever finds no whole one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hyperscale.hardware.jit import compiled

LONGEST = 32
"""Most pages that are kept together for one row while there are enough."""
_FREE, _WHOLE, _CURSOR, _EXTENT = 0, 1, 2, 3


@compiled()
def take(row, p, used, books):  # type: ignore[no-untyped-def]
    """A free page for page `p` of a row (its pages, of which `used` are in use), with one reference to it.

    Where none is free, the count of free pages turns negative: what the caller must never let happen.
    """
    references, free_of, whole, state = books
    if state[_FREE] <= 0:
        state[_FREE] -= 1
        return 0
    page, extent = -1, state[_EXTENT]
    for q in (p - 1, p + 1):
        if 0 <= q < used and q // extent == p // extent and row[q] % extent == q % extent:
            beside = row[q] - q + p
            # The pool may end within an extent.
            if beside < len(references) and references[beside] == 0:
                page = beside
    if page < 0 and state[_WHOLE] > 0:
        state[_WHOLE] -= 1
        page = whole[state[_WHOLE]] * extent + p % extent
    if page < 0:
        page = state[_CURSOR]
        while references[page] != 0:
            page = (page + 1) % len(references)
        state[_CURSOR] = page
    references[page] = 1
    free_of[page // extent] -= 1
    state[_FREE] -= 1
    return page


@compiled()
def release(pages, books):  # type: ignore[no-untyped-def]
    """Take one reference from each of `pages`; those without any are free."""
    references, free_of, whole, state = books
    extent = state[_EXTENT]
    for page in pages:
        references[page] -= 1
        if references[page] == 0:
            state[_FREE] += 1
            free_of[page // extent] += 1
            if free_of[page // extent] == extent:
                whole[state[_WHOLE]] = page // extent
                state[_WHOLE] += 1


@compiled()
def take_run(table_kp, first, count, books):  # type: ignore[no-untyped-def]
    """`count` pages for each of these rows, from its page `first` on."""
    for k in range(table_kp.shape[0]):
        for p in range(first, first + count):
            table_kp[k, p] = take(table_kp[k], p, p, books)


class PagePool:
    """References to each page of a pool, and which are free."""

    def __init__(self, pages: int, row_pages: int) -> None:
        """`row_pages` is the most that a row can hold: of longer extents it would leave the rest."""
        assert pages < 2**31
        extent = min(LONGEST, 1 << (max(row_pages, 1).bit_length() - 1))
        extents = pages // extent
        self.pages = pages
        self.references: NDArray[np.int32] = np.zeros(pages, np.int32)
        # An extent that the pool's end cuts short is never whole.
        free_of = np.full(-(-pages // extent), extent, np.int64)
        free_of[extents:] = pages % extent
        whole = np.arange(extents - 1, -1, -1, dtype=np.int64)
        self.books = (self.references, free_of, whole, np.array([pages, extents, 0, extent], np.int64))
        """What the functions above work on."""

    @property
    def free(self) -> int:
        """Pages that nobody refers to; negative if more were asked for than there were."""
        return int(self.books[-1][_FREE])
