"""Both samplers against sampling by the book."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hyperscale.config import Sampling
from hyperscale.engines.torch.sampling import Uniforms, draw, draw_sorted
from tests.reference import sampling as reference

samplings = st.builds(
    Sampling,
    temperature=st.sampled_from([0.3, 0.6, 1.0, 2.5]),
    top_p=st.sampled_from([0.05, 0.5, 0.9, 0.95, 1.0]),
    top_k=st.sampled_from([0, 1, 3, 20, 500]),
    min_p=st.sampled_from([0.0, 0.05, 0.5]),
)


def is_near_a_boundary(logits: list[float], uniform: float, sampling: Sampling) -> bool:
    """Whether rounding may tell another token: the draw changes when the number or the filters move a little."""
    s = sampling
    nearby = {
        reference.draw(logits, min(max(uniform + du, 0.0), 1.0), s.temperature, s.top_k, s.top_p + dp, s.min_p + dm)[0]
        for du in (-1e-5, 1e-5)
        for dp in (-1e-5, 1e-5)
        for dm in (-1e-5, 1e-5)
    }
    return len(nearby) > 1


@settings(max_examples=150, deadline=None)
@given(
    sampling=samplings,
    size=st.sampled_from([2, 7, 300]),
    scale=st.sampled_from([0.5, 3.0, 20.0]),
    seed=st.integers(0, 10_000),
)
def test_samplers_draw_what_the_definition_draws(sampling, size, scale, seed):
    rng = np.random.default_rng(seed)
    logits = (scale * rng.standard_normal((4, size))).astype(np.float32)
    uniforms = rng.random(4)
    quick = draw(torch.from_numpy(logits), sampling, uniforms)
    p = (torch.from_numpy(logits) / sampling.temperature).softmax(-1)
    by_sorting = draw_sorted(p, sampling, torch.from_numpy(uniforms)).numpy()
    for i in range(4):
        row = logits[i].astype(float).tolist()
        token, _ = reference.draw(
            row, uniforms[i], sampling.temperature, sampling.top_k, sampling.top_p, sampling.min_p
        )
        if not is_near_a_boundary(row, uniforms[i], sampling):
            assert quick[i] == by_sorting[i] == token


def test_draws_follow_the_distribution():
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0, 0.5]).expand(20_000, 5)
    uniforms = np.random.default_rng(0).random(20_000)
    tokens = draw(logits, Sampling(temperature=0.7, top_p=1.0), uniforms)
    p = (logits[0] / 0.7).softmax(-1).double().numpy()
    assert stats.chisquare(np.bincount(tokens, minlength=5), 20_000 * p / p.sum()).pvalue > 1e-3


def test_equal_probabilities_rank_by_id():
    logits = torch.zeros(1, 6)
    for sampling, kept in ((Sampling(1.0, top_p=0.5), 3), (Sampling(1.0, top_p=1.0, top_k=2), 2)):
        drawn = {int(draw(logits, sampling, np.array([u]))[0]) for u in np.linspace(0, 0.999, 50)}
        assert drawn == set(range(kept))


def test_temperature_zero_is_greedy():
    logits = torch.randn(5, 50, generator=torch.Generator().manual_seed(0))
    assert draw(logits, Sampling(temperature=0), np.zeros(5)).tolist() == logits.argmax(-1).tolist()


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_row_without_finite_logits_is_reported_not_drawn(temperature):
    logits = torch.randn(3, 50, generator=torch.Generator().manual_seed(0))
    logits[1, 7] = float("nan")
    tokens = draw(logits, Sampling(temperature=temperature), np.full(3, 0.5))
    assert tokens[1] == -1
    assert (tokens[[0, 2]] >= 0).all()


def test_uniforms_are_a_pure_function_of_identity_and_step():
    steps = [0, 5, 1023, 1024, 5000, 3, 1024]
    first = Uniforms(1, "task", "p", 0)
    drawn = [first.at(step) for step in steps]
    assert drawn == [Uniforms(1, "task", "p", 0).at(step) for step in steps]
    assert all(0 <= u < 1 for u in drawn)


def test_uniforms_of_different_identities_and_blocks_are_independent():
    identities = [(0, "a", "b", 0), (1, "a", "b", 0), (0, "ab", "", 0), (0, "a", "b", 1), (0, "", "ab", 0)]
    streams = [[Uniforms(*identity).at(step) for step in range(3000)] for identity in identities]
    assert stats.kstest(np.ravel(streams), "uniform").pvalue > 1e-3
    correlations = np.asarray(np.corrcoef(streams))[np.triu_indices(len(streams), 1)]
    assert np.abs(correlations).max() < 0.08
    assert len(set(streams[0])) == 3000
