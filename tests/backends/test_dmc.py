"""DMC beyond the contract: on a checkpoint, in the engine, and how it averages."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hyperscale.backends import dmc
from hyperscale.backends.dmc import DMC, merged_attention
from hyperscale.config import Sampling
from hyperscale.engines.base import Job
from hyperscale.engines.torch.engine import TorchEngine
from hyperscale.model.load import Model, load_model
from hyperscale.model.spec import GateSpec
from hyperscale.testing.bench import Bench
from hyperscale.testing.subject import Shape, random_inputs
from tests.backends.gated import SUBJECTS, merges
from tests.backends.stepper import new_backend, step_logits
from tests.gated_models import write_gated_model
from tests.reference.gated_qwen3 import GatedQwen3

TOKENS = torch.randint(250, (40,), generator=torch.Generator().manual_seed(3))
SUBJECT = next(gated for gated in SUBJECTS if gated.policy.name == "dmc")


@pytest.fixture(scope="module")
def merging(tmp_path_factory: pytest.TempPathFactory) -> tuple[GatedQwen3, Model]:
    reference = write_gated_model(tmp_path_factory.mktemp("dmc"), "ours-dmc")
    return reference, load_model(str(reference.folder), dtype="float32", device="cpu")


def test_logits_of_every_step_are_those_of_the_merged_sequence(merging: tuple[GatedQwen3, Model]) -> None:
    reference, model = merging
    expected_tv, _, attended = reference(TOKENS.tolist())
    dense_tv, _, _ = replace(reference, evicts=False)(TOKENS.tolist())
    assert np.abs(expected_tv - dense_tv).max() > 0.1, "nothing was merged"
    backend = new_backend(model, "dmc")
    for prompt in (1, 2, 33):
        logits_tv, counts = step_logits(model, backend, TOKENS, prompt)
        np.testing.assert_allclose(logits_tv.numpy(), expected_tv, atol=1e-4)
        assert counts.reads.tolist() == counts.live.tolist() == [sum(attended)]
    logits_tv, _ = step_logits(model, new_backend(model, "vanilla"), TOKENS, 7)
    np.testing.assert_allclose(logits_tv.numpy(), dense_tv, atol=1e-4)


@pytest.mark.parametrize("batch", [1, 5])
def test_the_engines_tokens_are_those_of_the_merged_sequence(merging: tuple[GatedQwen3, Model], batch: int) -> None:
    reference, model = merging
    engine = TorchEngine(
        replace(model, eos_ids=frozenset()), policy=DMC, sampling=Sampling(temperature=0.0), length_cap=40,
        max_batch=batch, memory_budget=2**26,
    )  # fmt: skip
    prompts = {"short": TOKENS[:3], "long": TOKENS[:25]}
    jobs = [Job("task", name, tuple(prompt.tolist()), {0: 40, 1: 34}) for name, prompt in prompts.items()]
    for chain in engine.generate(jobs):
        tokens = [*prompts[chain.problem_id].tolist(), *chain.tokens.tolist()]
        logits_tv, _, attended = reference(tokens)
        assert logits_tv.argmax(-1)[chain.prompt_tokens - 1 : -1].tolist() == chain.tokens.tolist()
        assert chain.step_reads[-1] == chain.step_live[-1] == sum(attended)
    assert engine.blocks_in_use == 0


@pytest.mark.parametrize("gates", [None, GateSpec("borrowed")])
def test_other_checkpoints_are_refused(gates: GateSpec | None) -> None:
    with pytest.raises(ValueError, match=r'a checkpoint folder retrofitted with DMC, and a gates.json.*"form": "dmc"'):
        DMC.check_gates(gates)


def test_a_row_that_merges_everything_is_one_slot() -> None:
    """After hundreds of steps its mean is still the mean."""
    shape = Shape(layers=1, max_length=300)
    bench = Bench(SUBJECT, None, shape)
    inputs = random_inputs(SUBJECT, shape, np.random.default_rng(0), extra=merges(1.0))
    sequence = bench.prompt(inputs, 50, key=0)
    for _ in range(250):
        bench.decode([sequence])
    assert bench.steps_compared == 250
    assert (bench.table.lengths[0, sequence.seq] == 1).all()
    assert bench.table.blocks_in_use == shape.kv_heads


def test_what_an_earlier_sequence_left_behind_is_not_merged() -> None:
    shape = Shape(layers=1, max_length=30)
    bench = Bench(SUBJECT, None, shape)
    inputs = random_inputs(SUBJECT, shape, np.random.default_rng(0), extra=merges(1.0))
    backend = bench.backend
    assert isinstance(backend, DMC)
    for kept in (backend._weights, backend._keys, backend._values):
        kept.fill_(float("nan"))
    sequence = bench.prompt(inputs, 1, key=0)
    for _ in range(5):
        bench.decode([sequence])
    assert bench.steps_compared == 5


def test_a_prompt_in_chunks_is_the_prompt_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    q, k, v = (torch.from_numpy(rng.standard_normal((50, heads, 8))).float() for heads in (6, 2, 2))
    place_tk: NDArray[np.int64] = np.cumsum(rng.random((50, 2)) < 0.3, axis=0, dtype=np.int64)
    place_tk -= place_tk[0]
    whole = merged_attention(q, k, v, place_tk)
    monkeypatch.setattr(dmc, "CHUNK", 7)
    torch.testing.assert_close(merged_attention(q, k, v, place_tk), whole)


def test_a_long_prompts_sums_are_as_exact_as_a_short_ones() -> None:
    """Means of places at the end of a prompt: differences of two large sums."""
    x_tkx = torch.randn(20_000, 1, 8, generator=torch.Generator().manual_seed(0)) + 10
    first_tk = torch.arange(20_000)[:, None] // 5 * 5
    sums_tkx = dmc._sums(x_tkx, first_tk)
    torch.testing.assert_close(sums_tkx[-1], x_tkx[-5:].double().sum(0).float(), rtol=1e-7, atol=1e-6)
