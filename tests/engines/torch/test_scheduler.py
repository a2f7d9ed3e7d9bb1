"""Gated policies, whose rows' lengths are not known beforehand: more threads run than the pool would hold at worst."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest

from hyperscale.backends import backend_class
from hyperscale.backends.memory import BlockBounds
from hyperscale.engines.base import Chain
from hyperscale.engines.torch import engine as torch_engine
from hyperscale.engines.torch.engine import TorchEngine
from hyperscale.model.load import Model, load_model
from tests.engines.torch.test_engine import CAP, SAMPLING, by_key, jobs, tokens_of
from tests.gated_models import write_gated_model

AMPLE = 2**26
MADE = {"dms": "adapter", "dmc": "ours-dmc"}


@pytest.fixture(scope="module", params=sorted(MADE))
def gated(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Model]:
    folder = tmp_path_factory.mktemp("model") / request.param
    write_gated_model(folder, MADE[request.param])
    model = load_model(str(folder), dtype="float32", device="cpu")
    return request.param, replace(model, eos_ids=frozenset(range(2, 6)))


def expecting(model: Model, ratio: float | None) -> Model:
    """The same model, which says that it was trained for another ratio."""
    assert model.spec.gates is not None
    return replace(model, spec=replace(model.spec, gates=replace(model.spec.gates, ratio=ratio)))


@pytest.fixture
def keeping(gated, monkeypatch) -> None:
    """Gates that give up no token."""
    for layer in gated[1].decoder.layers:
        monkeypatch.setattr(layer.gate, "spec", replace(layer.gate.spec, bias=-1e6))


def engine(backend: str, model: Model, memory_budget: int) -> TorchEngine:
    return TorchEngine(
        model,
        policy=backend_class(backend),
        sampling=SAMPLING,
        length_cap=CAP,
        max_batch=64,
        memory_budget=memory_budget,
    )


def least_bytes(backend: str, model: Model) -> int:
    shape = engine(backend, model, AMPLE).cache_shape
    return BlockBounds(shape.rows, backend_class(backend), None).least(CAP) * shape.page_bytes


def counts_of(chains: list[Chain]) -> dict[tuple[str, int], list[list[int]]]:
    return {
        key: [chain.step_reads.tolist(), chain.step_live.tolist(), chain.row_live.tolist()]
        for key, chain in by_key(chains).items()
    }


@pytest.mark.parametrize("ratio", [1000.0, 4.0, None])
def test_chains_are_those_of_ample_memory_however_much_is_reserved(gated, ratio):
    name, model = gated
    ample = list(engine(name, model, AMPLE).generate(jobs()))
    for share in (1.0, 1.7):
        ours = engine(name, expecting(model, ratio), int(share * least_bytes(name, model)))
        tight = list(ours.generate(jobs()))
        assert tokens_of(tight) == tokens_of(ample)
        assert counts_of(tight) == counts_of(ample)
        assert ours.blocks_in_use == 0


@pytest.mark.usefixtures("keeping")
def test_preemption_changes_no_chain(gated):
    name, model = gated
    ample = list(engine(name, model, AMPLE).generate(jobs()))
    ours = engine(name, expecting(model, 1000.0), least_bytes(name, model))
    # Twice: state that preemption leaves behind would show in the next run.
    for _ in range(2):
        tight = list(ours.generate(jobs()))
        assert tokens_of(tight) == tokens_of(ample)
        assert counts_of(tight) == counts_of(ample)
        assert ours.blocks_in_use == 0


def test_a_high_ratio_lets_more_threads_run_together(gated):
    name, model = gated
    budget = 2 * least_bytes(name, model)
    batches = {
        ratio: np.mean([c.batch_threads for c in engine(name, expecting(model, ratio), budget).generate(jobs())])
        for ratio in (1.0, 1000.0)
    }
    assert batches[1000.0] > 1.2 * batches[1.0]


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that says one second later each time it is asked: every prefill and every step takes one."""
    monkeypatch.setattr(torch_engine, "time", SimpleNamespace(perf_counter=count().__next__))


def spy(engine: TorchEngine, monkeypatch: pytest.MonkeyPatch, *names: str) -> dict[str, list[int]]:
    """How often each of these methods is called."""
    calls: dict[str, list[int]] = {name: [] for name in names}

    def count_calls(name: str) -> None:
        method = getattr(engine, name)

        def counted(*args):
            calls[name].append(1)
            return method(*args)

        monkeypatch.setattr(engine, name, counted)

    for name in names:
        count_calls(name)
    return calls


@pytest.mark.usefixtures("keeping", "ticks")
def test_seconds_wasted_by_preemption_are_borne_by_the_chains(gated, monkeypatch):
    name, model = gated
    ours = engine(name, expecting(model, 1000.0), least_bytes(name, model))
    calls = spy(ours, monkeypatch, "_prefill", "_step", "_preempt")
    chains = list(ours.generate(jobs()))
    assert len(calls["_preempt"]) > 1
    assert len(calls["_prefill"]) > len(jobs())
    first_prefills = sum({chain.problem_id: chain.prefill_seconds for chain in chains}.values())
    assert first_prefills == len(jobs())
    total = first_prefills + sum(chain.step_micros.sum() for chain in chains) / 1e6
    assert total == pytest.approx(len(calls["_prefill"]) + len(calls["_step"]), abs=1e-3)


def test_jobs_are_asked_for_only_when_there_is_room(gated):
    name, model = gated
    asked = []

    def stream() -> Iterator:
        for job in jobs():
            asked.append(job.problem_id)
            yield job

    generation = engine(name, expecting(model, 4.0), least_bytes(name, model)).generate(stream())
    next(generation)
    assert len(asked) < len(jobs())
    generation.close()
