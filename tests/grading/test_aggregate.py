from __future__ import annotations

from fractions import Fraction
from itertools import combinations
from math import isnan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperscale.grading import AGGREGATES, load_aggregate, majority, pass_at_k


def mean_by_enumeration(correct: list[bool], width: int) -> Fraction:
    subsets = list(combinations(correct, width))
    return sum((Fraction(sum(subset), width) for subset in subsets), Fraction(0)) / len(subsets)


pools = st.lists(st.booleans(), min_size=1, max_size=8)


@given(pools, st.data())
def test_mean_is_the_expected_share_of_right_threads_of_all_subsets(correct: list[bool], data: st.DataObject) -> None:
    width = data.draw(st.integers(1, len(correct)))
    accuracy, tied = load_aggregate("mean").score([], correct, width, seed=0)
    assert accuracy == pytest.approx(float(mean_by_enumeration(correct, width)), abs=1e-12)
    assert isnan(tied)


@given(pools, st.data())
def test_pass_and_majority_are_what_they_estimate(correct: list[bool], data: st.DataObject) -> None:
    width = data.draw(st.integers(1, len(correct)))
    classes = [0 if right else 1 + index % 2 for index, right in enumerate(correct)]
    passed, tied = load_aggregate("pass").score([], correct, width, seed=3)
    assert passed == pass_at_k(len(correct), sum(correct), width)
    assert isnan(tied)
    assert load_aggregate("majority").score(classes, correct, width, seed=3) == majority(
        classes, correct, width, seed=3
    )


@pytest.mark.parametrize("name", AGGREGATES.names())
@pytest.mark.parametrize("width", [0, 3])
def test_a_width_that_the_pool_lacks_is_refused(name: str, width: int) -> None:
    with pytest.raises(ValueError, match="2"):
        load_aggregate(name).score([0, 1], [True, False], width, seed=0)


def test_names_are_theirs_and_an_unknown_one_is_refused() -> None:
    assert [load_aggregate(name).name for name in AGGREGATES.names()] == AGGREGATES.names()
    assert [name for name in AGGREGATES.names() if load_aggregate(name).votes] == ["majority"]
    with pytest.raises(ValueError, match="unknown aggregate 'majorty'; did you mean 'majority'"):
        load_aggregate("majorty")
