"""Sequences that are filled instead of generated, under every registered backend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hyperscale.backends import backend_class, backend_names
from hyperscale.backends.base import Backend
from hyperscale.backends.bounded import Bounded
from hyperscale.backends.dms import DMS
from hyperscale.backends.vanilla import Vanilla
from hyperscale.engines.torch.engine import TorchEngine
from hyperscale.engines.torch.fill import HeldRows, row_lengths
from hyperscale.engines.torch.latency import Probe
from hyperscale.kvcache.block_pool import BLOCK_SIZE
from hyperscale.model.load import Model, load_model
from tests.engines.torch.test_engine import CAP, SAMPLING, jobs, tokens_of
from tests.gated_models import write_gated_model

BUDGET, BATCH = 24, 3
LAYOUTS = {"dms": "adapter", "dmc": "ours-dmc"}


class Hookless(Vanilla):
    """A plugin's policy that takes on no state."""

    name = "hookless"
    assume = Backend.assume


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    made = {}
    for layout in ("adapter", "ours-dmc"):
        folder = tmp_path_factory.mktemp("model") / layout
        write_gated_model(folder, layout)
        made[layout] = load_model(str(folder), dtype="float32", device="cpu")
    return made


@pytest.fixture(params=[*backend_names(), "hookless"])
def policy(request: pytest.FixtureRequest) -> type[Backend]:
    return Hookless if request.param == "hookless" else backend_class(request.param)


def engine(models: dict[str, Model], policy: type[Backend], **options: Any) -> TorchEngine:
    model = models[LAYOUTS.get(policy.name, "adapter")]
    bound = {"cache_budget": BUDGET} if policy.knows_length else {}
    fields: dict[str, Any] = {"sampling": SAMPLING, "length_cap": CAP, "max_batch": 8, "memory_budget": 2**26}
    return TorchEngine(model, policy=policy, **{**fields, **bound, **options})


def blocks_of(lengths_lk: np.ndarray) -> int:
    return sum(-(-int(length) // BLOCK_SIZE) for length in lengths_lk.ravel())


@pytest.mark.parametrize("tokens", [5, 16, 24, 40, 80])
def test_rows_are_as_long_as_is_claimed_in_blocks_of_their_own(models, policy, tokens):
    ours = engine(models, policy)
    lengths_lk = ours.filler.lengths(tokens)
    seqs = ours.filler.fill(BATCH, tokens, lengths_lk)
    table = ours._table
    if ours.filler.assumes:
        assert (table.lengths[:, seqs] == lengths_lk[:, None]).all()
    assert lengths_lk.max() <= min(tokens, policy.row_tokens(tokens, ours._backend.budget))
    table.check_integrity()
    assert ours.blocks_in_use == sum(blocks_of(table.lengths[:, seq]) for seq in seqs)
    assert (table.own[seqs] * BATCH).sum() == BATCH * ours.blocks_in_use
    assert not table.shared[seqs].any()
    ours.filler.close(seqs)
    assert ours.blocks_in_use == 0


@pytest.mark.parametrize("tokens", [8, 24, 40, 64])
def test_steps_from_there_count_what_the_rows_hold(models, policy, tokens):
    """Twenty steps of the engine itself: no row leaves its bounds, and the meter counts the table's lengths."""
    ours = engine(models, policy)
    probe = Probe(ours)
    seqs = ours.filler.fill(BATCH, tokens)
    threads = probe._threads(seqs, tokens)
    rows = ours.cache_shape.rows
    for step in range(20):
        before = ours._table.lengths[:, seqs].copy()
        ended, broken = ours._step(threads[:], threads)
        assert (ended, broken) == ([], None)
        now = ours._table.lengths[:, seqs]
        low, high = ours._backend.row_range(tokens + step + 1)
        assert (now >= low).all()
        assert (now <= high).all()
        assert (now - before >= 0).all()
        assert (now - before <= 1).all()
        ours._states.last[seqs] = probe._plain
        for i, seq in enumerate(seqs.tolist()):
            steps = ours._states.steps(seq)
            assert len(steps.tokens) == step + 1
            assert steps.live[-1] == now[:, i].sum()
            assert steps.blocks[-1] == blocks_of(now[:, i])
            if policy.name == "quest":
                page, whole = 16, tokens + step + 1
                # Both pages of a budget of 24 are one, the newest; a shorter sequence is attended whole.
                expected = whole if whole <= page else 1 + (whole - 1) % page
                assert steps.reads[-1] == rows * expected
            else:
                assert steps.reads[-1] == steps.live[-1]
    ours._table.check_integrity()


def test_a_bounded_policy_knows_which_tokens_it_holds(models):
    for name in ("tova", "h2o", "random"):
        kind: Any = backend_class(name)
        ours = engine(models, kind, settings=kind.Settings(sink_tokens=3, recent_window=5))
        for tokens in (10, BUDGET, 70):
            (seq,) = ours.filler.fill(1, tokens)
            policy = ours._backend
            assert isinstance(policy, Bounded)
            held = min(tokens, BUDGET)
            positions = np.sort(policy.positions[:, seq, :, :held], axis=-1)
            assert (positions == [0, 1, 2, *range(tokens - held + 3, tokens)]).all()
            assert (policy.seen[:, seq] == tokens).all()
            victims = np.take_along_axis(policy.positions[:, seq], policy.victims[:, seq, :1, None], -1)
            assert ((victims >= 3) & (victims < tokens - 4)).all() or tokens < BUDGET
            ours.filler.close(np.array([seq]))


def test_the_window_of_dms_is_the_end_of_its_rows(models):
    ours = engine(models, DMS)
    held = HeldRows(np.array([16, 64]), np.array([1.0, 0.5]), None)
    lengths_lk = ours.filler.lengths(60, held)
    (seq,) = ours.filler.fill(1, 60, lengths_lk)
    dms = ours._backend
    assert isinstance(dms, DMS)
    for position in range(60 - dms.window - 1, 60):
        places = dms._ring[:, seq, :, position % (dms.window + 1)]
        assert (places == lengths_lk - (60 - position)).all()
    assert lengths_lk.mean() == pytest.approx(60 * np.interp(60, [16, 64], [1, 0.5]), abs=1)


def test_chains_after_a_probe_are_those_of_a_fresh_engine(models, policy):
    """Filled sequences leave nothing behind."""
    ours = engine(models, policy)
    for batch, context in ((1, 16), (8, 80), (3, 33)):
        Probe(ours).decode(batch, context)
    assert ours.blocks_in_use == 0
    assert tokens_of(list(ours.generate(jobs()))) == tokens_of(list(engine(models, policy).generate(jobs())))


@pytest.mark.parametrize("context", [16, 50, CAP])
def test_a_probe_fills_the_pool_and_no_more(models, policy, context):
    ours = engine(models, policy, memory_budget=engine(models, policy).cache_shape.page_bytes * 8 * 60, max_batch=64)
    probe = Probe(ours)
    most = probe.most(context)
    assert 0 < most <= ours._max_batch
    found = probe.decode(most, context)
    assert len(found.seconds) == 3
    assert min(found.seconds) > 0
    assert found.reads <= found.held <= context
    low, high = ours._backend.row_range(context)
    assert low <= found.held <= high
    assert ours.blocks_in_use == 0
    assert probe.prefill(20) > 0
    assert ours.blocks_in_use == 0


@pytest.mark.parametrize(("mean", "least", "most"), [(10.0, 4, 40), (4.0, 4, 40), (39.9, 4, 40), (20.0, 1, 25)])
def test_row_lengths_keep_their_mean_and_their_proportions(mean, least, most):
    rows_lk = np.array([[0.1, 0.5, 1.0], [1.4, 2.0, 1.0]])
    lengths_lk = row_lengths(mean, rows_lk, least, most)
    assert lengths_lk.mean() == pytest.approx(mean, abs=0.5)
    assert lengths_lk.min() >= least
    assert lengths_lk.max() <= most
    free = (lengths_lk > least) & (lengths_lk < most)
    if free.sum() > 1:
        assert np.ptp(lengths_lk[free] / rows_lk[free]) <= 1 / rows_lk[free].min()


def test_no_step_of_a_chain_compiles(models, policy, monkeypatch):
    """A clock on which the first step of an engine takes an hour: no chain's time has it."""
    from hyperscale.engines.torch import engine as module

    ours, now, decode = engine(models, policy), [0.0], 0

    class Clock:
        @staticmethod
        def perf_counter() -> float:
            return now[0]

    first = ours._decode

    def compiling(*args: Any) -> Any:
        nonlocal decode
        decode += 1
        now[0] += 3600 if decode == 1 else 1
        return first(*args)

    monkeypatch.setattr(module, "time", Clock)
    monkeypatch.setattr(ours, "_decode", compiling)
    chains = list(ours.generate(jobs()))
    assert max(chain.step_micros.max() for chain in chains) <= 1_000_000
