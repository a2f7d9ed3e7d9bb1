"""What is special about TOVA, H2O and random; the rest is in the contract."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperscale.attention import prompt
from hyperscale.backends.bounded import Protection
from hyperscale.backends.h2o import H2OSettings
from hyperscale.backends.least import least
from hyperscale.testing.bench import Bench
from hyperscale.testing.subject import Shape, random_inputs
from tests.backends.subjects import subject
from tests.reference.cache_vanilla import weights

NAMES = ["tova", "h2o", "random"]


@settings(max_examples=20, deadline=None)
@given(
    t=st.integers(1, 12),
    before=st.integers(0, 9),
    kv_heads=st.integers(1, 3),
    group=st.integers(1, 3),
    scores=st.sampled_from([1, 60, 2**23]),
    seed=st.integers(0, 99),
)
def test_attention_mass_is_the_sum_over_queries_and_heads(t, before, kv_heads, group, scores, seed):
    """However few scores are taken at a time."""
    rng, s = np.random.default_rng(seed), before + t
    q_thd, k_skd = rng.standard_normal((t, kv_heads * group, 8)), rng.standard_normal((s, kv_heads, 8))
    expected = np.zeros((kv_heads, s))
    for i in range(t):
        seen_sk = np.repeat(np.arange(s)[:, None] <= before + i, kv_heads, axis=1)
        expected += weights(q_thd[i], k_skd, seen_sk, group).reshape(kv_heads, group, s).sum(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prompt, "_SCORES", scores)
        got = prompt.attention_mass(torch.from_numpy(q_thd), torch.from_numpy(k_skd))
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-5, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(length=st.integers(1, 300), first=st.integers(0, 20), recent=st.integers(0, 20), seed=st.integers(0, 999))
def test_least_is_the_first_of_the_lowest_eligible_scores(length, first, recent, seed):
    rng = np.random.default_rng(seed)
    scores_t = rng.integers(0, 6, length).astype(np.float32)  # Many ties.
    positions_t = rng.permutation(length).astype(np.int32)
    eligible = np.flatnonzero((positions_t >= first) & (positions_t < length - recent))
    if len(eligible):
        expected = eligible[np.argmin(scores_t[eligible])]
        assert least(scores_t, positions_t, length, first, length - recent) == expected
        # A model whose numbers are broken is reported by the engine; until then a place is a place.
        nan_t = np.full(length, np.nan, np.float32)
        assert least(nan_t, positions_t, length, first, length - recent) in eligible


@pytest.mark.parametrize("kind", [Protection, H2OSettings])
@pytest.mark.parametrize("field", ["sink_tokens", "recent_window"])
def test_negative_numbers_are_refused(kind, field):
    with pytest.raises(ValueError, match=f"{field} is -2"):
        kind(**{field: -2})


@pytest.mark.parametrize("name", NAMES)
def test_what_does_not_fit_the_budget_is_refused(name):
    kind = H2OSettings if name == "h2o" else Protection
    Bench(subject(name, kind(sink_tokens=9, recent_window=7)), 16, Shape())
    Bench(subject(name, kind(sink_tokens=15, recent_window=0)), 16, Shape())
    for sink_tokens, recent_window in ((9, 8), (16, 0), (0, 17)):
        with pytest.raises(ValueError, match=f"16 tokens a row has no room for sink_tokens {sink_tokens}"):
            Bench(subject(name, kind(sink_tokens=sink_tokens, recent_window=recent_window)), 16, Shape())
    backend = Bench(subject(name, kind(protect_prompt=True, recent_window=3)), 16, Shape()).backend
    assert backend.dense_prompt(13) == 13
    with pytest.raises(ValueError, match="protect_prompt: a prompt of 14 tokens"):
        backend.dense_prompt(14)


def test_half_of_h2os_budget_is_recent():
    for budget in (1, 2, 7, 8):
        backend = Bench(subject("h2o"), budget, Shape()).backend
        assert backend.recent == budget - budget // 2  # type: ignore[attr-defined]


def test_random_victims_are_uniform_and_differ_between_threads_heads_and_layers():
    budget, forks, shape = 8, 40, Shape(layers=2, kv_heads=2, seqs=42, max_length=60)
    ours, rng = subject("random", Protection(recent_window=3)), np.random.default_rng(0)
    bench = Bench(ours, budget, shape)
    inputs = random_inputs(ours, shape, rng)
    source = bench.prompt(inputs, budget, key=1)
    threads = [bench.fork(source, inputs, key=int(rng.integers(2**63))) for _ in range(forks)]
    # At the first step 6 of the 8 tokens may go: the two before the arriving one stay.
    bench.decode(threads)
    gone = np.array(
        [[(set(range(budget)) - held).pop() for reference in t.references for held in reference.held] for t in threads]
    )
    counts = np.bincount(gone.ravel(), minlength=budget)
    assert counts[6:].tolist() == [0, 0]
    expected = gone.size / 6
    assert ((counts[:6] - expected) ** 2 / expected).sum() < 20.5  # chi-square of 5, 0.1 %
    assert len({tuple(row) for row in gone.tolist()}) > forks / 2
    assert (gone[:, :1] != gone[:, 1:]).any(axis=0).all()
