from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import combinations
from math import isnan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperscale.grading import AGGREGATES, load_aggregate, majority, pass_at_k


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


def vote_by_hand(classes: list[int], right_class: int, width: int) -> tuple[Fraction, Fraction]:
    """Every subset in turn: count, find the leaders, give each the same chance."""
    accuracy, ties, subsets = Fraction(0), 0, 0
    for chosen in combinations(classes, width):
        subsets += 1
        votes = Counter(answer for answer in chosen if answer != -1)
        if not votes:
            continue
        leaders = [answer for answer, count in votes.items() if count == max(votes.values())]
        accuracy += Fraction(leaders.count(right_class), len(leaders))
        ties += len(leaders) > 1
    return accuracy / subsets, Fraction(ties, subsets)


pools = st.lists(st.integers(-1, 3), min_size=1, max_size=8)


@given(pools, st.integers(0, 3), st.data())
@settings(max_examples=200, deadline=None)
def test_equals_the_enumeration_of_all_subsets(classes: list[int], right: int, data: st.DataObject) -> None:
    width = data.draw(st.integers(1, len(classes)))
    accuracy, tied = majority(classes, [answer == right for answer in classes], width, seed=0)
    expected_accuracy, expected_tied = vote_by_hand(classes, right, width)
    assert accuracy == pytest.approx(float(expected_accuracy), abs=1e-12)
    assert tied == pytest.approx(float(expected_tied), abs=1e-12)


@given(pools, st.integers(0, 3), st.data())
@settings(max_examples=50, deadline=None)
def test_order_of_threads_and_names_of_classes_do_not_matter(
    classes: list[int], right: int, data: st.DataObject
) -> None:
    width = data.draw(st.integers(1, len(classes)))
    order = data.draw(st.permutations(range(len(classes))))
    shuffled = [classes[i] for i in order]
    renamed = [answer if answer < 0 else 7 - answer for answer in shuffled]
    before = majority(classes, [answer == right for answer in classes], width, seed=0)
    after = majority(renamed, [answer == 7 - right for answer in renamed], width, seed=0)
    assert after == pytest.approx(before)


def test_width_one_is_the_share_of_right_threads_and_missing_answers_count_as_wrong() -> None:
    assert majority([0, 0, 1, -1], [True, True, False, False], 1, seed=0) == (0.5, 0.0)


def test_missing_answers_never_vote() -> None:
    assert majority([-1, -1, -1, 0], [False, False, False, True], 4, seed=0) == (1.0, 0.0)
    assert majority([-1, -1], [False, False], 2, seed=0) == (0.0, 0.0)


def test_a_tie_gives_each_leader_the_same_chance() -> None:
    assert majority([0, 1, 2, 2, 1], [True, False, False, False, False], 5, seed=0) == (0.0, 1.0)
    assert majority([0, 0, 1, 1, 2], [True, True, False, False, False], 5, seed=0) == (0.5, 1.0)


def test_many_subsets_are_sampled_near_the_exact_value_and_alike_for_a_seed() -> None:
    classes = [0] * 9 + [1] * 7 + [2] * 2 + [-1] * 2
    correct = [answer == 0 for answer in classes]
    exact = majority(classes, correct, 6, seed=0, max_subsets=10**6)
    sampled = [majority(classes, correct, 6, seed=seed, max_subsets=1000) for seed in range(20)]
    assert sum(value for value, _ in sampled) / 20 == pytest.approx(exact[0], abs=0.01)
    assert len({value for value, _ in sampled}) > 1
    assert sampled[3] == majority(classes, correct, 6, seed=3, max_subsets=1000)
    assert all(0 < abs(value - exact[0]) < 0.08 or value == exact[0] for value, _ in sampled)


@pytest.mark.parametrize(("classes", "correct", "width"), [([0], [True], 2), ([0], [True], 0), ([0, 1], [True], 1)])
def test_refuses_what_cannot_be_voted_on(classes: list[int], correct: list[bool], width: int) -> None:
    with pytest.raises(ValueError, match="majority"):
        majority(classes, correct, width, seed=0)


def mean_by_enumeration(correct: list[bool], width: int) -> Fraction:
    subsets = list(combinations(correct, width))
    return sum((Fraction(sum(subset), width) for subset in subsets), Fraction(0)) / len(subsets)


verdicts = st.lists(st.booleans(), min_size=1, max_size=8)


@given(verdicts, st.data())
def test_mean_is_the_expected_share_of_right_threads_of_all_subsets(correct: list[bool], data: st.DataObject) -> None:
    width = data.draw(st.integers(1, len(correct)))
    accuracy, tied = load_aggregate("mean").score([], correct, width, seed=0)
    assert accuracy == pytest.approx(float(mean_by_enumeration(correct, width)), abs=1e-12)
    assert isnan(tied)


@given(verdicts, st.data())
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
