"""Policies that only score: `Bounded.score` against independent references and written-out choices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from hyperscale.backends.bounded import Bounded, Protection
from hyperscale.testing import check_backend
from hyperscale.testing.bench import Bench
from hyperscale.testing.subject import Shape, Subject, random_inputs
from tests.backends.streaming import StreamingLLM, StreamingSettings
from tests.reference import cache_h2o, cache_streaming, cache_tova

BUDGET = 8


def scored_by(score: Callable[..., Any], heads: int | None = None) -> type[Bounded]:
    """Make a policy of one function of (mass_nkt, positions_nkt)."""

    class Scored(Bounded):
        name = "scored"
        frees = "memory and reads"
        sets = heads

        def score(self, layer, seqs, mass_nkt, positions_nkt):
            assert mass_nkt.shape == (len(seqs), self.table.kv_heads, self.room)
            assert positions_nkt.shape == (len(seqs), self.sets or self.table.kv_heads, self.room)
            return score(mass_nkt, positions_nkt)

    return Scored


def evicted(policy: type[Bounded], settings: Protection, steps: int = 3) -> list[int]:
    """The positions that one KV head evicts after a prompt that fills the budget."""
    subject, shape = Subject(policy, cache_streaming.Reference, settings), Shape(layers=1)
    bench = Bench(subject, BUDGET, shape)
    inputs = random_inputs(subject, shape, np.random.default_rng(0))
    seq, seqs = bench.table.open(), np.array([0])
    backend = bench.backend
    assert isinstance(backend, Bounded)
    backend.begin(seq, 1)
    backend.prefill(0, seq, *inputs.at(0, slice(0, BUDGET)))
    gone = []
    for t in range(BUDGET, BUDGET + steps):
        gone.append(int(backend.positions[0, seq, 0, backend.victims[0, seq, 0]]))
        backend.decode(0, seqs, *inputs.at(0, slice(t, t + 1)))
        bench.table.check_integrity()
    return gone


@pytest.mark.parametrize(
    "settings", [None, StreamingSettings(sink_tokens=0), StreamingSettings(sink_tokens=12, recent_window=2)]
)
def test_a_policy_that_only_scores_keeps_the_contract(settings):
    check_backend(StreamingLLM, cache_streaming.Reference, settings=settings)


def test_tova_by_score_is_tova():
    """One set of tokens for all KV heads, scored in torch."""
    tova = scored_by(lambda mass_nkt, positions_nkt: torch.from_numpy(mass_nkt).sum(1, keepdim=True), heads=1)
    settings = Protection(protect_prompt=True, sink_tokens=2, recent_window=3)
    check_backend(tova, cache_tova.Reference)
    check_backend(tova, cache_tova.Reference, settings=settings, budgets=(24, 45), longest_prompt=18)


def test_a_policy_that_breaks_the_contract_is_found():
    wrong = scored_by(lambda mass_nkt, positions_nkt: -positions_nkt)
    with pytest.raises(AssertionError):
        check_backend(wrong, cache_streaming.Reference, settings=StreamingSettings())
    with pytest.raises(AssertionError):
        check_backend(StreamingLLM, cache_h2o.Reference)


def test_the_lowest_score_is_evicted_and_ties_go_to_the_lowest_place():
    assert evicted(scored_by(lambda mass_nkt, positions_nkt: (positions_nkt - 5) ** 2), Protection()) == [5, 4, 6]
    assert evicted(scored_by(lambda mass_nkt, positions_nkt: np.ones(positions_nkt.shape)), Protection()) == [0, 8, 9]


@pytest.mark.parametrize("worst", [-np.inf, np.nan, np.inf])
def test_protected_tokens_stay_whatever_their_score(worst):
    def score(mass_nkt, positions_nkt):
        return np.where(positions_nkt < 3, worst, positions_nkt.astype(float))

    assert evicted(scored_by(score), Protection(sink_tokens=3)) == [3, 4, 5]
    hostile = scored_by(lambda mass_nkt, positions_nkt: np.full(positions_nkt.shape, worst))
    # The recent window holds the arriving token, too: of 3, two of those held.
    assert evicted(hostile, Protection(sink_tokens=5, recent_window=3)) == [5, 6, 7]
    # All of the prompt but its last token's place is protected: the newest token replaces the one before.
    assert evicted(hostile, Protection(sink_tokens=7)) == [7, 8, 9]


def test_scores_of_a_wrong_shape_are_refused():
    with pytest.raises(ValueError, match=r"scored.score returned shape \(1, 8\), expected \(1, 2, 8\)"):
        evicted(scored_by(lambda mass_nkt, positions_nkt: positions_nkt[:, 0]), Protection())


def test_a_policy_without_score_says_what_to_write():
    class Nothing(Bounded):
        name = "nothing"
        frees = "nothing"

    with pytest.raises(NotImplementedError, match="override score"):
        evicted(Nothing, Protection())
