"""The threads that ran together in each step, as the engines tell them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from hyperscale.config import Sampling
from hyperscale.engines.base import Job
from hyperscale.engines.torch.engine import TorchEngine
from hyperscale.engines.vllm.requests import InFlight, Request
from hyperscale.kvcache.shape import CacheShape
from hyperscale.model.load import load_model
from hyperscale.results.rows import rows_to_arrow
from tests.results.rows import sample_row
from tests.tiny_models import write_tiny_model


def test_torch_tells_each_step_of_the_greedy_schedule(tmp_path: Path) -> None:
    """One thread a problem, none of which ends by itself, three at a time: who runs when is worked out by hand."""
    loaded = load_model(str(write_tiny_model(tmp_path / "model")), dtype="float32", device="cpu")
    model = replace(loaded, eos_ids=frozenset())
    caps = [40, 90, 55, 41, 70]
    work = [Job("task", f"p{i}", tuple(range(30, 36)), {0: cap}) for i, cap in enumerate(caps)]
    engine = TorchEngine(model, sampling=Sampling(), length_cap=90, max_batch=3, memory_budget=2**26)
    free_at, spans = [0, 0, 0], {}
    for i, cap in enumerate(caps):
        place = free_at.index(min(free_at))
        spans[f"p{i}"] = (free_at[place], free_at[place] + cap - 6)
        free_at[place] += cap - 6
    for chain in engine.generate(work):
        began, ended = spans[chain.problem_id]
        expected = [sum(a <= step < b for a, b in spans.values()) for step in range(began, ended)]
        assert chain.step_threads is not None
        assert chain.step_threads.tolist() == expected
        assert chain.batch_threads == pytest.approx(np.mean(expected))


def test_vllm_tells_who_got_a_token_in_each_step() -> None:
    flight = InFlight(CacheShape(2, 3, 64, 256), 4)
    flight.add("a", Request(Job("t", "p", (1,) * 9, {0: 12, 1: 11}), 0, 1))
    flight.add("b", Request(Job("t", "q", (1,) * 4, {0: 6}), 0, 1))

    def told(name: str, token: int, reason: str | None = None) -> SimpleNamespace:
        inner = SimpleNamespace(index=0, token_ids=[token], finish_reason=reason)
        return SimpleNamespace(request_id=name, outputs=[inner])

    steps = [[told("a", 5)], [told("a", 6), told("b", 7)], [told("b", 8, "length")], [told("a", 9, "length")]]
    chains = [chain for outputs in steps for chain in flight.step(outputs, 1.0, lambda: None)]
    found = {chain.problem_id: chain.step_threads for chain in chains}
    assert found["p"] is not None
    assert found["q"] is not None
    assert found["p"].tolist() == [1, 2, 1]
    assert found["q"].tolist() == [2, 1]


def test_a_row_has_an_entry_a_token_or_none() -> None:
    assert rows_to_arrow("samples", [sample_row(step_threads=None), sample_row(thread=1)]).num_rows == 2
    with pytest.raises(AssertionError, match=r"samples.step_threads: one entry a generated token, or null"):
        rows_to_arrow("samples", [sample_row(step_threads=[4, 4])])
