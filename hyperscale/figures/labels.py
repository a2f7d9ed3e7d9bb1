"""Place labels beside their points so that none covers another, and find points that lie on each other.

adjustText 1.4 was tried in its place and is worse: given the same points and markers, it put 149 of the 367 labels of
the tiny sweep's Pareto figure on a frontier's marker and 5 pairs of labels on each other (90 s), where this draws 302,
none of them on such a marker or on another label (5 s). It cannot drop a label that finds no room, nor avoid lines, and
leaves coinciding markers on each other.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Box(NamedTuple):
    """Describe an upright rectangle in pixels."""

    x0: float
    y0: float
    x1: float
    y1: float

    def overlaps(self, other: Box) -> bool:
        """Tell whether the two share area."""
        return self.x0 < other.x1 and other.x0 < self.x1 and self.y0 < other.y1 and other.y0 < self.y1

    def within(self, other: Box) -> bool:
        """Tell whether this lies in `other`."""
        return other.x0 <= self.x0 and other.y0 <= self.y0 and self.x1 <= other.x1 and self.y1 <= other.y1

    @property
    def centre(self) -> tuple[float, float]:
        """Return its middle."""
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2

    def distance(self, x: float, y: float) -> float:
        """Measure the distance of a point from the box; 0 inside."""
        return math.hypot(max(self.x0 - x, x - self.x1, 0), max(self.y0 - y, y - self.y1, 0))

    @staticmethod
    def around(x: float, y: float, width: float, height: float) -> Box:
        """Make the box of that size with its centre at (x, y)."""
        return Box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)


class Label(NamedTuple):
    """Describe a text of `width` x `height` pixels that belongs to the point (x, y)."""

    x: float
    y: float
    width: float
    height: float
    needed: bool
    """A needed label may cross lines, cover markers or stand apart; any other is dropped instead."""


Segment = tuple[float, float, float, float]
DISTANCES = (1.0, 2.2, 3.6, 5.2)
"""Gaps tried between point and label, in units of the smallest."""
_TURNS = (0, 45, -45, 90, -90, 135, -135, 180)
_COVERS_MARKER, _MISLEADS, _COVERS_LINE, _COVERS_FAINT, _DISTANCE, _TURN = 6.0, 4.0, 2.0, 1.4, 1.5, 0.2
STRICT = 5.5
"""Value of `most` at which no label covers a marker."""


def place(
    labels: Sequence[Label],
    *,
    bounds: Box,
    markers: Sequence[Box],
    lines: Sequence[Segment],
    faint: Sequence[Box] = (),
    taken: Sequence[Box] = (),
    gap: float,
    lean: float = 135.0,
    most: float = math.inf,
) -> list[tuple[float, float] | None]:
    """Place labels: their centres in pixels, None for a label without room.

    Placed labels lie in `bounds` and overlap neither each other nor `taken`. Needed labels choose first, in
    their order; each takes the cheapest candidate by what it covers and how far it stands from its point. A label
    is dropped if its cheapest costs `most` or more. Covering a `faint` marker costs less than one of `markers`. `lean`
    is the direction tried first, in degrees: where the drawing is empty. Deterministic.
    """
    centres: list[tuple[float, float] | None] = [None] * len(labels)
    boxes = list(taken)
    for index in sorted(range(len(labels)), key=lambda i: not labels[i].needed):
        label = labels[index]
        best = most
        for number, distance in enumerate(DISTANCES if label.needed else DISTANCES[:1]):
            for rank, turn in enumerate(_TURNS):
                x, y = _beside(label, gap * distance, lean + turn)
                box = Box.around(x, y, label.width, label.height)
                if not box.within(bounds) or any(box.overlaps(other) for other in boxes):
                    continue
                covered = sum(box.overlaps(marker) for marker in markers)
                own = box.distance(label.x, label.y)
                nearer = sum(box.distance(*marker.centre) < own - 0.5 for marker in markers)
                crossed = sum(crosses(line, box) for line in lines)
                hidden = sum(box.overlaps(marker) for marker in faint)
                if (covered or crossed or nearer or hidden) and not label.needed:
                    continue
                cost = _COVERS_MARKER * covered + _MISLEADS * bool(nearer) + _COVERS_LINE * crossed
                cost += _COVERS_FAINT * hidden
                cost += _DISTANCE * number + _TURN * rank
                if cost < best:
                    best, centres[index] = cost, (x, y)
        centre = centres[index]
        if centre is not None:
            boxes.append(Box.around(*centre, label.width, label.height))
    return centres


def crosses(line: Segment, box: Box) -> bool:
    """Tell whether a straight segment enters the box (Liang and Barsky's clipping)."""
    x0, y0, x1, y1 = line
    enter, leave = 0.0, 1.0
    for delta, start, low, high in ((x1 - x0, x0, box.x0, box.x1), (y1 - y0, y0, box.y0, box.y1)):
        if delta == 0:
            if not low < start < high:
                return False
            continue
        first, second = sorted(((low - start) / delta, (high - start) / delta))
        enter, leave = max(enter, first), min(leave, second)
    return enter < leave


def _beside(label: Label, gap: float, degrees: float) -> tuple[float, float]:
    """Centre the label so that its box keeps `gap` from its point in that direction."""
    dx, dy = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return label.x + dx * (gap + label.width / 2), label.y + dy * (gap + label.height / 2)


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
