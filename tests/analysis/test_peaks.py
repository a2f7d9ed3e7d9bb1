"""Peaks in lockstep: small pools by hand, and any pool against loops over subsets and steps."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperscale.analysis import peaks
from hyperscale.analysis.peaks import Trace, lockstep_peaks
from hyperscale.grading.aggregate import subsets


def slow(threads: list[Trace], members: list[tuple[int, ...]], cut: int) -> tuple[float, float]:
    """Mean over subsets of the most tokens and pages, step by step."""
    tokens, pages = [], []
    for subset in members:
        held, in_use = [0], [0]
        for step in range(1, cut + 1):
            running = [threads[t] for t in subset if step <= len(threads[t].live_n)]
            held.append(sum(int(thread.live_n[step - 1]) for thread in running))
            shared = {p for thread in running for p, until in enumerate(thread.shared_p) if until >= step}
            in_use.append(sum(int(thread.pages_n[step - 1]) for thread in running) + len(shared))
        tokens.append(max(held))
        pages.append(max(in_use))
    return sum(tokens) / len(tokens), sum(pages) / len(pages)


@st.composite
def pools(draw: st.DrawFn) -> list[Trace]:
    pages = draw(st.integers(0, 5))
    threads = []
    for _ in range(draw(st.integers(1, 5))):
        steps = draw(st.integers(1, 9))
        counts = st.lists(st.integers(0, 60), min_size=steps, max_size=steps)
        shared = st.lists(st.integers(0, steps), min_size=pages, max_size=pages)
        threads.append(Trace(*(np.array(draw(some), dtype=np.int64) for some in (counts, counts, shared))))
    return threads


@pytest.mark.parametrize("cells", [1, 40, peaks._MOST_CELLS])
@settings(max_examples=60, deadline=None)
@given(threads=pools(), cuts=st.lists(st.integers(1, 12), min_size=1, max_size=5), data=st.data())
def test_peaks_equal_those_counted_step_by_step(cells: int, threads: list[Trace], cuts: list[int], data) -> None:
    width = data.draw(st.integers(1, len(threads)))
    members = list(combinations(range(len(threads)), width))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(peaks, "_MOST_CELLS", cells)
        found = lockstep_peaks(threads, np.array(members), cuts)
    for cut, tokens, pages in zip(cuts, found.tokens_e, found.pages_e, strict=True):
        assert (tokens, pages) == pytest.approx(slow(threads, members, cut))


def test_threads_that_peak_at_different_steps_do_not_add_up() -> None:
    """One thread ends after two steps, the other grows for four: together they hold most at step 2."""
    short = Trace(np.array([10, 11]), np.array([1, 1]), np.array([2, 2]))
    long = Trace(np.array([10, 11, 12, 13]), np.array([1, 1, 2, 2]), np.array([4, 1]))
    found = lockstep_peaks([short, long], np.array([[0, 1]]), [1, 2, 9])
    assert found.tokens_e.tolist() == [20, 22, 22]
    # Step 1: 2 own and 2 shared; step 2: the page that `long` wrote to is still the other's.
    assert found.pages_e.tolist() == [4, 4, 4]
    assert lockstep_peaks([short, long], np.array([[0], [1]]), [9]).tokens_e.tolist() == [(11 + 13) / 2]


def test_drawn_subsets_are_near_all_of_them() -> None:
    draw = np.random.default_rng(4)
    threads = []
    for _ in range(14):
        steps = int(draw.integers(5, 60))
        growing = np.arange(1, steps + 1)
        threads.append(Trace(40 + growing, 1 + growing // 4, np.full(3, steps)))
    drawn = lockstep_peaks(threads, subsets(14, 7, 0), [30, 60])
    every = lockstep_peaks(threads, subsets(14, 7, 0, 10**6), [30, 60])
    assert drawn.tokens_e == pytest.approx(every.tokens_e, rel=0.03)
    assert drawn.pages_e == pytest.approx(every.pages_e, rel=0.03)
    summed = 7 * np.mean([40 + len(thread.live_n) for thread in threads])
    assert (every.tokens_e < summed).all()
