"""DMS beyond the contract: on checkpoints, in the engine, at the edges of its window."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hyperscale.attention.prompt import causal_attention, windowed_attention
from hyperscale.backends.base import PolicyContext
from hyperscale.backends.dms import DMS, DMSSettings
from hyperscale.config import Sampling
from hyperscale.engines.base import Job
from hyperscale.engines.torch.engine import TorchEngine
from hyperscale.kvcache.block_pool import BLOCK_SIZE
from hyperscale.model.load import Model, load_model
from hyperscale.model.spec import GateSpec
from hyperscale.testing.bench import Bench
from hyperscale.testing.subject import Shape, random_inputs
from tests.backends.gated import dms, evictions
from tests.backends.stepper import new_backend, step_logits
from tests.gated_models import LAYOUTS, write_gated_model
from tests.reference.gated_qwen3 import GatedQwen3
from tests.tiny_models import write_tiny_model

TOKENS = torch.randint(250, (40,), generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module", params=[layout for layout in LAYOUTS if "dmc" not in layout])
def gated(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[GatedQwen3, Model]:
    reference = write_gated_model(tmp_path_factory.mktemp(request.param), request.param)
    return reference, load_model(str(reference.folder), dtype="float32", device="cpu")


def test_logits_of_every_step_are_those_of_the_masked_sequence(gated: tuple[GatedQwen3, Model]) -> None:
    reference, model = gated
    expected_tv, _, attended = reference(TOKENS.tolist())
    dense_tv, _, _ = replace(reference, evicts=False)(TOKENS.tolist())
    assert np.abs(expected_tv - dense_tv).max() > 0.1, "nothing was evicted"
    backend = new_backend(model, "dms")
    for prompt in (1, reference.window, reference.window + 2, 33):
        logits_tv, counts = step_logits(model, backend, TOKENS, prompt)
        np.testing.assert_allclose(logits_tv.numpy(), expected_tv, atol=1e-4)
        assert counts.reads.tolist() == counts.live.tolist() == [sum(attended)]
    assert backend.table.blocks_in_use == 0


@pytest.mark.parametrize(
    "settings",
    [DMSSettings(window=0), DMSSettings(window=9, decision_shift=0), DMSSettings(window=3, immediate=True)],
    ids=str,
)
def test_settings_override_the_checkpoint(tmp_path: Path, settings: DMSSettings) -> None:
    reference = write_gated_model(tmp_path, "adapter")
    model = load_model(str(tmp_path), dtype="float32", device="cpu")
    shift = 1 if settings.decision_shift < 0 else settings.decision_shift
    expected = replace(reference, window=settings.window, shift=shift, immediate=settings.immediate)
    expected_tv, _, _ = expected(TOKENS.tolist())
    logits_tv, _ = step_logits(model, new_backend(model, "dms", settings), TOKENS, 11)
    np.testing.assert_allclose(logits_tv.numpy(), expected_tv, atol=1e-4)


def test_gates_that_were_trained_to_decide_late_do(gated: tuple[GatedQwen3, Model]) -> None:
    """A checkpoint's own field does what the setting does, unasked."""
    reference, model = gated
    gates = model.spec.gates
    assert gates is not None
    late = replace(model, spec=replace(model.spec, gates=replace(gates, immediate=True)))
    expected_tv, _, _ = replace(reference, immediate=True)(TOKENS.tolist())
    logits_tv, _ = step_logits(late, new_backend(late, "dms"), TOKENS, 11)
    np.testing.assert_allclose(logits_tv.numpy(), expected_tv, atol=1e-4)


def test_a_window_beyond_the_sequence_keeps_all_and_takes_no_memory(gated: tuple[GatedQwen3, Model]) -> None:
    reference, model = gated
    expected_tv, _, _ = replace(reference, evicts=False)(TOKENS.tolist())
    for settings in (DMSSettings(window=10**12), DMSSettings(window=10**12, immediate=True)):
        logits_tv, _ = step_logits(model, new_backend(model, "dms", settings), TOKENS, 11)
        np.testing.assert_allclose(logits_tv.numpy(), expected_tv, atol=1e-4)


def test_vanilla_runs_on_the_same_checkpoint(gated: tuple[GatedQwen3, Model]) -> None:
    reference, model = gated
    expected_tv, _, _ = replace(reference, evicts=False)(TOKENS.tolist())
    logits_tv, _ = step_logits(model, new_backend(model, "vanilla"), TOKENS, 7)
    np.testing.assert_allclose(logits_tv.numpy(), expected_tv, atol=1e-4)


def test_tokens_do_not_depend_on_the_batch_in_bfloat16(tmp_path: Path) -> None:
    write_gated_model(tmp_path, "adapter")
    model = replace(load_model(str(tmp_path), dtype="bfloat16", device="cpu"), eos_ids=frozenset())
    tokens = []
    for batch in (1, 4):
        engine = TorchEngine(
            model, policy=DMS, sampling=Sampling(temperature=1.0), length_cap=40, max_batch=batch,
            memory_budget=2**26, batch_invariant=True,
        )  # fmt: skip
        chains = engine.generate([Job("task", "p", tuple(TOKENS[:9].tolist()), dict.fromkeys(range(5), 40))])
        tokens.append({chain.thread: (chain.tokens.tolist(), chain.step_live.tolist()) for chain in chains})
    assert tokens[0] == tokens[1]
    rows = model.spec.layers * model.spec.kv_heads
    assert all(live[-1] < rows * 30 for _, live in tokens[0].values())


@pytest.mark.parametrize("batch", [1, 5])
def test_the_engines_tokens_are_those_of_the_masked_sequence(gated: tuple[GatedQwen3, Model], batch: int) -> None:
    reference, model = gated
    model = replace(model, eos_ids=frozenset())
    engine = TorchEngine(
        model, policy=DMS, sampling=Sampling(temperature=0.0), length_cap=40, max_batch=batch, memory_budget=2**26
    )
    prompts = {"short": TOKENS[:3], "long": TOKENS[:25]}
    jobs = [Job("task", name, tuple(prompt.tolist()), {0: 40, 1: 34}) for name, prompt in prompts.items()]
    chains = list(engine.generate(jobs))
    assert len(chains) == 4
    for chain in chains:
        tokens = [*prompts[chain.problem_id].tolist(), *chain.tokens.tolist()]
        logits_tv, _, attended = reference(tokens)
        assert logits_tv.argmax(-1)[chain.prompt_tokens - 1 : -1].tolist() == chain.tokens.tolist()
        assert chain.step_reads[-1] == chain.step_live[-1] == sum(attended)
    assert engine.blocks_in_use == 0


def test_a_checkpoint_without_gates_is_refused(tmp_path: Path) -> None:
    model = load_model(str(write_tiny_model(tmp_path / "plain", "qwen3")), device="cpu")
    with pytest.raises(ValueError, match=r"this checkpoint has no gates: use one retrofitted with DMS.*gates.json"):
        TorchEngine(model, policy=DMS, sampling=Sampling(), length_cap=40, memory_budget=2**26)
    with pytest.raises(ValueError, match="has the gates of DMC"):
        DMS.check_gates(GateSpec("dmc"))
    DMS.check_gates(GateSpec("linear"))


@pytest.mark.parametrize(
    ("fields", "match"),
    [({"window": -2}, "window must be at least 0"), ({"decision_shift": 2}, "decision_shift must be 0, 1")],
)
def test_settings_that_are_refused(fields: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        DMSSettings(**fields)


def test_settings_and_gates_agree_on_the_window() -> None:
    bench = Bench(dms(0.5, DMSSettings(), GateSpec("linear", window=7, decision_shift=0)), None, Shape())
    assert (bench.backend.window, bench.backend.lag) == (7, 0)  # type: ignore[attr-defined]
    context = PolicyContext(bench.table, bench.meter, bench.backend.attention, None, GateSpec("linear", window=7))
    assert DMS(context, DMSSettings(window=0)).window == 0
    assert DMS(context, DMSSettings(immediate=True)).lag == 8


@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize("prompt", [1, 5, 6, 30])
def test_a_row_whose_every_token_is_evicted_holds_its_window(shift: int, prompt: int) -> None:
    """And its blocks never move: each token is written over the one that leaves."""
    shape, ours = Shape(layers=1), dms(1.0, DMSSettings(window=5, decision_shift=shift))
    bench = Bench(ours, None, shape)
    sequence = bench.prompt(random_inputs(ours, shape, np.random.default_rng(0)), prompt, key=0)
    for _ in range(40):
        bench.decode([sequence])
        assert (bench.table.lengths[0, sequence.seq] == min(sequence.length, 6)).all()
        assert bench.table.blocks_in_use == shape.kv_heads
    assert bench.steps_compared == 40


def test_evicted_tokens_of_a_prompt_never_enter_the_rows() -> None:
    shape = Shape(layers=1, max_length=96)
    ours = replace(dms(0.9, DMSSettings(window=4, decision_shift=1)), longest_prompt=90)
    bench = Bench(ours, None, shape)
    prompt = bench.prompt(random_inputs(ours, shape, np.random.default_rng(0)), 90, key=0)
    lengths = bench.table.lengths[0, prompt.seq]
    assert lengths.max() < 30
    assert bench.table.blocks_in_use == (-(-lengths // BLOCK_SIZE)).sum()


@pytest.mark.parametrize("window", [0, 3, 20])
def test_a_prompt_in_chunks_is_the_prompt_as_a_whole(monkeypatch: pytest.MonkeyPatch, window: int) -> None:
    rng = np.random.default_rng(window)
    q, k, v = (torch.from_numpy(rng.standard_normal((50, heads, 8))).float() for heads in (6, 2, 2))
    evicted_tk = evictions(0.8)(rng, 50, 2)[0] > 0
    whole = windowed_attention(q, k, v, evicted_tk, window)
    monkeypatch.setattr("hyperscale.attention.prompt.CHUNK", 7)
    torch.testing.assert_close(windowed_attention(q, k, v, evicted_tk, window), whole)
    assert not torch.allclose(whole, causal_attention(q, k, v), atol=1e-2)
    assert torch.equal(windowed_attention(q, k, v, evicted_tk, 49), causal_attention(q, k, v))
