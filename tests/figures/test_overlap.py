from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hyperscale.figures.overlap import places, rings


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
