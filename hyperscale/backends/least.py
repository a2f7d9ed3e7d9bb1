"""Find the token of a row with the lowest score: the victim of TOVA and H2O."""

from __future__ import annotations

import numpy as np

from hyperscale.hardware.jit import compiled

_CHUNK = 64
"""Places whose minimum is taken at once: vectors find a minimum, but not its place."""


@compiled(fastmath={"nnan", "nsz"})
def least(scores_t, positions_t, length, first, until):  # type: ignore[no-untyped-def]
    """Find the place of the lowest score among positions in [first, until); ties: the lowest place.

    Some place is eligible whenever a row is full. Where all scores are NaN, the first eligible place.
    """
    top, best = np.float32(np.inf), 0
    for start in range(0, length, _CHUNK):
        lowest = np.float32(np.inf)
        for t in range(start, min(start + _CHUNK, length)):
            eligible = (positions_t[t] >= first) & (positions_t[t] < until)
            lowest = min(lowest, scores_t[t] if eligible else np.float32(np.inf))
        if lowest < top:
            top, best = lowest, start
    for t in range(best, length):
        if first <= positions_t[t] < until and scores_t[t] <= top:
            return t
    for t in range(length):
        if first <= positions_t[t] < until:
            return t
    return 0
