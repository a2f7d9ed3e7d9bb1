"""Find points that lie on each other, and the ring that each gets, so that all can be seen.

adjustText has no counterpart: it moves text and leaves coinciding markers on each other.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray


def places(xy: NDArray[np.float64], within: float) -> list[int]:
    """Find each point's place: the index of the first point at most `within` pixels away. `xy` [points, 2]."""
    firsts: list[int] = []
    found = []
    for index, here in enumerate(xy):
        near = [first for first in firsts if np.hypot(*(xy[first] - here)) <= within]
        if not near:
            firsts.append(index)
        found.append(near[0] if near else index)
    return found


def rings(place: Sequence[int], kinds: Sequence[Hashable]) -> list[int]:
    """Give each point a ring at its place, 0 innermost: a ring per kind, in order of appearance."""
    seen: dict[int, list[Hashable]] = {}
    found = []
    for where, kind in zip(place, kinds, strict=True):
        here = seen.setdefault(where, [])
        if kind not in here:
            here.append(kind)
        found.append(here.index(kind))
    return found
