"""Every backend under the engine: what the contract asks of the two together. Backends with gates have their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hyperscale.backends import backend_class, backend_names
from hyperscale.backends.memory import BlockBounds
from hyperscale.engines.base import Chain, Job
from hyperscale.engines.torch.engine import TorchEngine
from hyperscale.kvcache.block_pool import BLOCK_SIZE, blocks_for
from hyperscale.model.load import Model, load_model
from tests.engines.torch.test_engine import CAP, SAMPLING, by_key, jobs, tokens_of, with_eos
from tests.tiny_models import write_tiny_model

BUDGET = 24
BACKENDS = [name for name in backend_names() if not backend_class(name).gated]
each_backend = pytest.mark.parametrize("name", BACKENDS)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = write_tiny_model(tmp_path_factory.mktemp("model") / "qwen3", "qwen3", num_key_value_heads=2)
    return with_eos(load_model(str(folder), dtype="float32", device="cpu"), frozenset(range(2, 6)))


def engine(
    model: Model, name: str, budget: int = BUDGET, settings: dict[str, Any] | None = None, **options
) -> TorchEngine:
    """Its budget binds: prompts have up to 50 tokens, chains 90."""
    bound = {"cache_budget": budget} if backend_class(name).knows_length else {}
    options = {"sampling": SAMPLING, "length_cap": CAP, "max_batch": 8, "memory_budget": 2**26, **bound, **options}
    policy = backend_class(name)
    return TorchEngine(model, policy=policy, settings=policy.Settings(**(settings or {})), **options)


@pytest.fixture(scope="module")
def chains(model: Model) -> dict[str, list[Chain]]:
    return {name: list(engine(model, name).generate(jobs())) for name in BACKENDS}


def counts_of(chains: list[Chain]) -> dict[tuple[str, int], list[list[int]]]:
    return {key: [c.step_reads.tolist(), c.step_live.tolist()] for key, c in by_key(chains).items()}


@each_backend
@pytest.mark.parametrize("max_batch", [1, 3, 64])
def test_chains_do_not_depend_on_batch_or_order(model, chains, name, max_batch):
    ours = engine(model, name, max_batch=max_batch)
    again = list(ours.generate(reversed(jobs())))
    assert tokens_of(again) == tokens_of(chains[name])
    assert counts_of(again) == counts_of(chains[name])
    assert ours.blocks_in_use == 0


@each_backend
def test_what_is_left_of_a_run_is_generated_as_before(model, chains, name):
    """An engine that was stopped at any point, and then asked for some threads only."""
    ours = engine(model, name)
    begun = ours.generate(jobs())
    next(begun)
    assert ours.blocks_in_use > 0
    begun.close()
    assert ours.blocks_in_use == 0
    some = [type(job)(job.task, job.problem_id, job.prompt_tokens, {1: CAP}) for job in jobs()]
    expected = {key: value for key, value in tokens_of(chains[name]).items() if key[1] == 1}
    assert tokens_of(list(ours.generate(some))) == expected


@each_backend
def test_a_budget_of_the_whole_sequence_is_vanilla(model, chains, name):
    # Whole blocks: Quest chooses among no less.
    covered = list(engine(model, name, budget=BLOCK_SIZE * blocks_for(CAP)).generate(jobs()))
    assert tokens_of(covered) == tokens_of(chains["vanilla"])
    assert counts_of(covered) == counts_of(chains["vanilla"])


@each_backend
def test_a_chain_cut_at_a_length_is_what_this_cap_gives_at_the_same_budget(model, chains, name):
    short = by_key(list(engine(model, name, length_cap=70).generate(jobs(cap=70))))
    for key, chain in by_key(chains[name]).items():
        kept = min(len(chain.tokens), 70 - chain.prompt_tokens)
        for column in ("tokens", "step_reads", "step_live", "step_pages"):
            assert getattr(short[key], column).tolist() == getattr(chain, column)[:kept].tolist()


@each_backend
def test_the_budget_binds(model, chains, name):
    policy, rows = backend_class(name), model.spec.layers * model.spec.kv_heads
    most = policy.row_tokens(CAP, BUDGET if policy.knows_length else None)
    for chain in chains[name]:
        lengths = chain.prompt_tokens + 1 + np.arange(len(chain.tokens))
        assert chain.step_live.tolist() == (rows * np.minimum(lengths, most)).tolist()
        assert (chain.step_reads <= chain.step_live).all()


@each_backend
@pytest.mark.parametrize("share", [1.0, 1.3, 2.5])
def test_a_small_memory_budget_never_runs_dry(model, chains, name, share):
    """The pool raises where it does; so it is enough that all chains come out."""
    shape = engine(model, name).cache_shape
    bounds = BlockBounds(shape.rows, backend_class(name), BUDGET if backend_class(name).knows_length else None)
    least = bounds.least(CAP) * shape.page_bytes
    tight = list(engine(model, name, memory_budget=int(share * least)).generate(jobs()))
    assert tokens_of(tight) == tokens_of(chains[name])
    with pytest.raises(ValueError, match="cannot hold one thread"):
        engine(model, name, memory_budget=least - 1)


def test_a_protected_prompt_that_does_not_fit_is_refused(model):
    for name in ("tova", "h2o", "random"):
        ours = engine(model, name, settings={"protect_prompt": True})
        with pytest.raises(ValueError, match=r"protect_prompt: a prompt of (16|31) tokens"):
            list(ours.generate(jobs()))
        assert ours.blocks_in_use == 0


@each_backend
@pytest.mark.parametrize("prompt", [5, 16, 20, 47, 48])
def test_blocks_of_a_problem_are_the_blocks_really_in_use(model, monkeypatch, name, prompt):
    """Each thread's own, and once what at least one still shares, against the pool's count at every step."""
    for threads in (1, 2, 5):
        ours = engine(with_eos(model, frozenset()), name)
        step, in_use = ours._step, list[int]()

        def watched(running, able, step=step, ours=ours, in_use=in_use):
            done = step(running, able)
            in_use.append(ours.blocks_in_use)
            return done

        monkeypatch.setattr(ours, "_step", watched)
        job = Job("task", "p", tuple(range(20, 20 + prompt)), dict.fromkeys(range(threads), CAP))
        chains = list(ours.generate([job]))
        # After the last step the blocks are given back.
        for last, blocks in enumerate(in_use[:-1]):
            shared = np.any([chain.page_shared > last for chain in chains], axis=0).sum()
            assert blocks == shared + sum(chain.step_pages[last] for chain in chains)
