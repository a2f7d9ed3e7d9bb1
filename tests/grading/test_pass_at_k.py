from __future__ import annotations

from fractions import Fraction
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperscale.grading import pass_at_k


def pass_by_enumeration(samples: int, correct: int, k: int) -> Fraction:
    verdicts = [index < correct for index in range(samples)]
    subsets = list(combinations(verdicts, k))
    return Fraction(sum(any(subset) for subset in subsets), len(subsets))


@given(st.integers(1, 9), st.data())
def test_equals_the_share_of_subsets_with_a_correct_sample(samples: int, data: st.DataObject) -> None:
    correct = data.draw(st.integers(0, samples))
    k = data.draw(st.integers(1, samples))
    assert pass_at_k(samples, correct, k) == pytest.approx(float(pass_by_enumeration(samples, correct, k)), abs=1e-12)


def test_large_counts_stay_finite() -> None:
    assert pass_at_k(10_000, 1, 100) == pytest.approx(0.01)


@pytest.mark.parametrize(("samples", "correct", "k"), [(3, 1, 4), (3, 1, 0), (3, 4, 1), (3, -1, 1), (0, 0, 1)])
def test_refuses_impossible_counts(samples: int, correct: int, k: int) -> None:
    with pytest.raises(ValueError, match="pass@"):
        pass_at_k(samples, correct, k)
