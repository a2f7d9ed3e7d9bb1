"""Points that lie on each other: who shares a place, and how large each must be to be seen."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray


def places(xy: NDArray[np.float64], within: float) -> list[int]:
    """For each point the index of the first point that stands no farther from it than `within`: its place."""
    firsts: list[int] = []
    found = []
    for index, here in enumerate(xy):
        near = [first for first in firsts if np.hypot(*(xy[first] - here)) <= within]
        if not near:
            firsts.append(index)
        found.append(near[0] if near else index)
    return found


def rings(place: Sequence[int], kinds: Sequence[Hashable]) -> list[int]:
    """Ring of each point at its place, 0 innermost: kinds take them in order of appearance; one kind shares one."""
    seen: dict[int, list[Hashable]] = {}
    found = []
    for where, kind in zip(place, kinds, strict=True):
        here = seen.setdefault(where, [])
        if kind not in here:
            here.append(kind)
        found.append(here.index(kind))
    return found
