from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperscale.figures.labels import STRICT, Box, Label, Segment, crosses, place, places, rings

BOUNDS = Box(0, 0, 300, 200)
COORDINATE = st.floats(0, 200)
LABELS = st.lists(
    st.builds(Label, COORDINATE, COORDINATE, st.floats(5, 60), st.floats(5, 15), st.booleans()), max_size=25
)
SEGMENT = st.tuples(COORDINATE, COORDINATE, COORDINATE, COORDINATE)


def boxes(labels: list[Label], centres: list[tuple[float, float] | None]) -> list[Box | None]:
    return [
        None if centre is None else Box.around(*centre, label.width, label.height)
        for label, centre in zip(labels, centres, strict=True)
    ]


@settings(max_examples=50)
@given(LABELS, st.lists(SEGMENT, max_size=6))
def test_placed_labels_keep_apart_and_inside(labels: list[Label], lines: list[Segment]) -> None:
    markers = [Box.around(label.x, label.y, 6, 6) for label in labels]
    taken = Box(0, 0, 80, 20)
    centres = place(labels, bounds=BOUNDS, markers=markers, lines=lines, taken=[taken], gap=5)
    assert centres == place(labels, bounds=BOUNDS, markers=markers, lines=lines, taken=[taken], gap=5)
    found = [box for box in boxes(labels, centres) if box is not None]
    assert all(box.within(BOUNDS) and not box.overlaps(taken) for box in found)
    assert not any(a.overlaps(b) for i, a in enumerate(found) for b in found[:i])
    for label, box in zip(labels, boxes(labels, centres), strict=True):
        if box is not None and not label.needed:
            assert not any(box.overlaps(marker) for marker in markers)
            assert not any(crosses(line, box) for line in lines)


def test_a_lone_label_takes_the_free_side_it_leans_to() -> None:
    label = Label(150, 100, 40, 10, needed=True)
    for lean, right, above in ((135, False, True), (45, True, True), (-45, True, False)):
        (centre,) = place([label], bounds=BOUNDS, markers=[], lines=[], gap=4, lean=lean)
        assert centre is not None
        assert (centre[0] > 150, centre[1] > 100) == (right, above)


def test_needed_labels_choose_before_the_others() -> None:
    slot = Box(0, 0, 50, 12)
    labels = [Label(45, 6, 36, 10, needed=False), Label(45, 6, 36, 10, needed=True)]
    optional, needed = place(labels, bounds=slot, markers=[], lines=[], gap=4, lean=180)
    assert optional is None
    assert needed is not None


def test_a_label_without_room_is_dropped() -> None:
    label = Label(10, 10, 400, 10, needed=True)
    assert place([label], bounds=BOUNDS, markers=[], lines=[], gap=4) == [None]


def test_a_strict_label_covers_no_marker_and_avoids_faint_ones() -> None:
    label = Label(150, 100, 40, 10, needed=True)
    wall = [Box(0, 0, 300, 200)]
    assert place([label], bounds=BOUNDS, markers=wall, lines=[], gap=4) != [None]
    assert place([label], bounds=BOUNDS, markers=wall, lines=[], gap=4, most=STRICT) == [None]
    above = Box(0, 104, 300, 200)
    (centre,) = place([label], bounds=BOUNDS, markers=[], faint=[above], lines=[], gap=4, lean=90, most=STRICT)
    assert centre is not None
    assert not Box.around(*centre, 40, 10).overlaps(above)


@given(SEGMENT, st.tuples(COORDINATE, COORDINATE, st.floats(1, 50), st.floats(1, 50)))
def test_a_line_crosses_a_box_where_some_of_its_points_lie_inside(
    line: Segment, sides: tuple[float, float, float, float]
) -> None:
    x, y, width, height = sides
    box = Box(x, y, x + width, y + height)
    walk = [(line[0] + (line[2] - line[0]) * t / 500, line[1] + (line[3] - line[1]) * t / 500) for t in range(501)]
    if any(box.x0 < px < box.x1 and box.y0 < py < box.y1 for px, py in walk[1:-1]):
        assert crosses(line, box)
    # The other way round only where no point comes near: a corner may be cut between two steps.
    if not any(box.x0 - 1 < px < box.x1 + 1 and box.y0 - 1 < py < box.y1 + 1 for px, py in walk):
        assert not crosses(line, box)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ((0, 5, 20, 5), True),
        ((5, 0, 5, 20), True),
        ((0, 0, 20, 20), True),
        ((0, 10, 20, 10), False),
        ((0, 15, 20, 15), False),
        ((12, 0, 12, 20), False),
        ((6, 6, 7, 7), True),
    ],
)
def test_lines_and_a_box_of_five_to_ten(line: Segment, expected: bool) -> None:
    assert crosses(line, Box(4, 4, 10, 10)) is expected


def test_points_that_nearly_coincide_share_a_place() -> None:
    xy = np.array([[0.0, 0.0], [10.0, 0.0], [0.5, 0.5], [10.0, 0.0], [11.5, 0.0]])
    assert places(xy, within=1.0) == [0, 1, 0, 1, 4]
    assert places(np.zeros((0, 2)), within=1.0) == []


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), max_size=30))
def test_kinds_at_one_place_have_rings_of_their_own(points: list[tuple[int, int]]) -> None:
    place, kinds = [where for where, _ in points], [kind for _, kind in points]
    found = rings(place, kinds)
    for here in set(place):
        by_kind = {(kind, ring) for (where, kind), ring in zip(points, found, strict=True) if where == here}
        assert len({kind for kind, _ in by_kind}) == len(by_kind)
        assert sorted(ring for _, ring in by_kind) == list(range(len(by_kind)))
