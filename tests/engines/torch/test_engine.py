"""The engine: what it generates, what it counts, what it holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hyperscale.config import Sampling
from hyperscale.engines.base import Chain, Job
from hyperscale.engines.torch.engine import TorchEngine
from hyperscale.engines.torch.forward import TILE
from hyperscale.kvcache.block_pool import BLOCK_SIZE, blocks_for
from hyperscale.kvcache.block_table import BlockTable
from hyperscale.model.load import Model, load_model
from tests.reference.generate import generate
from tests.tiny_models import write_tiny_model

SAMPLING = Sampling(temperature=1.0, top_p=0.95, seed=7)
CAP = 90


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "qwen3", "qwen3", num_key_value_heads=2)


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    # A random model rarely ends a sequence by itself; four ids that end one make short chains common.
    return with_eos(load_model(str(folder), dtype="float32", device="cpu"), frozenset(range(2, 6)))


def with_eos(model: Model, eos_ids: frozenset[int]) -> Model:
    return replace(model, eos_ids=eos_ids)


def jobs(problems: int = 4, threads: int = 3, cap: int = CAP) -> list[Job]:
    rng = np.random.default_rng(0)
    prompts = [tuple(rng.integers(20, 250, size).tolist()) for size in (5, 16, 31, 50, 1, 48)]
    return [
        Job("task", f"p{i}", prompts[i % len(prompts)], dict.fromkeys(range(threads), cap)) for i in range(problems)
    ]


def engine(model: Model, **options) -> TorchEngine:
    options = {"sampling": SAMPLING, "length_cap": CAP, "max_batch": 8, "memory_budget": 2**26, **options}
    return TorchEngine(model, **options)


def by_key(chains: list[Chain]) -> dict[tuple[str, int], Chain]:
    keyed = {(chain.problem_id, chain.thread): chain for chain in chains}
    assert len(keyed) == len(chains)
    return keyed


def tokens_of(chains: list[Chain]) -> dict[tuple[str, int], tuple[list[int], str]]:
    return {key: (chain.tokens.tolist(), chain.finish_reason) for key, chain in by_key(chains).items()}


@pytest.fixture(scope="module")
def chains(model: Model) -> list[Chain]:
    return list(engine(model).generate(jobs()))


def test_tokens_are_those_of_the_plain_loop(folder, model, chains):
    for (problem_id, thread), (tokens, reason) in tokens_of(chains).items():
        job = next(job for job in jobs() if job.problem_id == problem_id)
        expected = generate(
            folder, list(job.prompt_tokens), CAP, set(model.eos_ids), SAMPLING, ("task", problem_id, thread)
        )
        assert tokens == expected
        assert reason == ("stop" if expected[-1] in model.eos_ids else "length")
    assert {reason for _, reason in tokens_of(chains).values()} == {"stop", "length"}


@pytest.mark.parametrize("max_batch", [1, 2, 5, 64])
def test_tokens_do_not_depend_on_batch_or_order(model, chains, max_batch):
    again = engine(model, max_batch=max_batch).generate(reversed(jobs()))
    assert tokens_of(list(again)) == tokens_of(chains)


def test_tokens_do_not_depend_on_what_was_generated_before(model, chains):
    """A resumed sweep asks for some threads only."""
    some = [Job(job.task, job.problem_id, job.prompt_tokens, {2: CAP}) for job in jobs()]
    expected = {key: value for key, value in tokens_of(chains).items() if key[1] == 2}
    assert tokens_of(list(engine(model).generate(some))) == expected


def test_a_chain_cut_at_a_length_is_the_chain_that_this_cap_gives(model, chains):
    for cap in (60, 75):
        short = by_key(list(engine(model, length_cap=cap).generate(jobs(cap=cap))))
        for key, chain in by_key(chains).items():
            kept = min(len(chain.tokens), cap - chain.prompt_tokens)
            for name in ("tokens", "step_reads", "step_live", "step_pages"):
                assert getattr(short[key], name).tolist() == getattr(chain, name)[:kept].tolist()


def test_threads_of_one_problem_may_have_different_caps(model, chains):
    mixed = [Job(job.task, job.problem_id, job.prompt_tokens, {0: CAP, 1: 60, 2: 55}) for job in jobs()]
    whole = by_key(chains)
    for (problem_id, thread), chain in by_key(list(engine(model).generate(mixed))).items():
        expected = whole[problem_id, thread].tokens[: chain.length_cap - chain.prompt_tokens]
        assert chain.tokens.tolist() == expected.tolist()
        assert chain.length_cap == {0: CAP, 1: 60, 2: 55}[thread]


def test_counts_have_their_closed_form(model, chains):
    rows = model.spec.layers * model.spec.kv_heads
    for chain in chains:
        lengths = chain.prompt_tokens + 1 + np.arange(len(chain.tokens))
        assert chain.step_reads.tolist() == (rows * lengths).tolist()
        assert chain.step_live.tolist() == (rows * lengths).tolist()
        own = -(-lengths // BLOCK_SIZE) - chain.prompt_tokens // BLOCK_SIZE
        assert chain.step_pages.tolist() == (rows * own).tolist()
        whole, all_steps = chain.prompt_tokens // BLOCK_SIZE, len(chain.tokens)
        # A prompt's partly filled block is written to at once.
        of_a_row = [all_steps] * whole + [0] * (chain.prompt_tokens % BLOCK_SIZE > 0)
        assert chain.page_shared.tolist() == of_a_row * rows
        assert (chain.step_micros >= 0).all()
        assert chain.step_micros.sum() > 0
        assert 1 <= chain.batch_threads <= 8


def test_a_finished_thread_makes_room_at_once(model):
    """Without EOS the number of steps is that of the greedy schedule, simulated here thread by thread."""
    caps = [40, 90, 55, 41, 70, 88, 43, 60]
    work = [Job("task", f"p{i}", tuple(range(30, 36)), {0: cap}) for i, cap in enumerate(caps)]
    chains = list(engine(with_eos(model, frozenset()), max_batch=3).generate(work))
    free_at = [0, 0, 0]
    busy: dict[int, int] = {}
    for cap in caps:
        place = free_at.index(min(free_at))
        for step in range(free_at[place], free_at[place] + cap - 6):
            busy[step] = busy.get(step, 0) + 1
        free_at[place] += cap - 6
    expected_mean = sum(n * n for n in busy.values()) / sum(busy.values())
    steps = [len(chain.tokens) for chain in chains]
    mean = sum(chain.batch_threads * g for chain, g in zip(chains, steps, strict=True)) / sum(steps)
    assert mean == pytest.approx(expected_mean)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_batch_invariant_samples_are_identical_whatever_the_batch(folder, dtype):
    model = with_eos(load_model(str(folder), dtype=dtype, device="cpu"), frozenset(range(2, 6)))
    work = jobs(problems=14)
    expected = tokens_of(list(engine(model, max_batch=40, batch_invariant=True).generate(work)))
    for max_batch in (1, 7, 33):
        again = engine(model, max_batch=max_batch, batch_invariant=True)
        assert tokens_of(list(again.generate(reversed(work)))) == expected


def test_batch_invariant_passes_all_have_one_shape(model, monkeypatch):
    """Rounding on a tiny model hides what a shape changes; so the shapes themselves are looked at."""
    ours = engine(model, max_batch=40, batch_invariant=True)
    hidden, sizes = ours._decoder.hidden, []

    def spy(tokens_n, positions_n, attend, gated):
        sizes.append(len(tokens_n))
        return hidden(tokens_n, positions_n, attend, gated)

    prefill = ours._prefill

    def unspied(job):
        monkeypatch.setattr(ours._decoder, "hidden", hidden)
        prompt = prefill(job)
        monkeypatch.setattr(ours._decoder, "hidden", spy)
        return prompt

    monkeypatch.setattr(ours, "_prefill", unspied)
    assert len(list(ours.generate(jobs(problems=14)))) == 42
    assert len(sizes) > 42
    assert set(sizes) == {TILE}


@pytest.mark.parametrize("broken", ["_prefill", "_fork", "_sample", "_decode"])
def test_an_engine_goes_on_after_work_broke_off(model, chains, monkeypatch, broken):
    ours = engine(model)
    whole, calls = getattr(ours, broken), 0

    def interrupted(*args):
        nonlocal calls
        calls += 1
        done = whole(*args)
        if calls == 4:
            raise KeyboardInterrupt
        return done

    monkeypatch.setattr(ours, broken, interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(ours.generate(jobs()))
    assert ours.blocks_in_use == 0
    monkeypatch.setattr(ours, broken, whole)
    again = list(ours.generate(jobs()))
    assert tokens_of(again) == tokens_of(chains)
    for key, chain in by_key(again).items():
        assert chain.step_reads.tolist() == by_key(chains)[key].step_reads.tolist()


def test_an_engine_runs_one_generation_at_a_time(model):
    ours = engine(model)
    first = ours.generate(jobs())
    next(first)
    with pytest.raises(AssertionError, match="one generation at a time"):
        next(ours.generate(jobs()))


def test_writing_by_index_as_on_a_device_gives_the_same(model, chains, monkeypatch):
    """The path of GPUs, on the CPU: rows written through index tensors, tokens drawn by sorting."""
    monkeypatch.setattr(BlockTable, "put", BlockTable._put_on_device)
    assert tokens_of(list(engine(model).generate(jobs()))) == tokens_of(chains)


def test_a_long_prompt_is_prefilled_in_chunks(folder, tmp_path):
    long = load_model(
        str(write_tiny_model(tmp_path / "long", max_position_embeddings=8192)), dtype="float32", device="cpu"
    )
    prompt = tuple(np.random.default_rng(1).integers(20, 250, 2100).tolist())
    cap = len(prompt) + 4
    job = Job("task", "long", prompt, {0: cap})
    (chain,) = engine(long, length_cap=cap).generate([job])
    expected = generate(tmp_path / "long", list(prompt), cap, set(long.eos_ids), SAMPLING, ("task", "long", 0))
    assert chain.tokens.tolist() == expected


def test_a_small_memory_budget_holds_fewer_threads_and_gives_the_same_samples(model, chains):
    shape = engine(model).cache_shape
    least = shape.rows * (blocks_for(CAP) + 1) * shape.page_bytes
    tight = list(engine(model, memory_budget=least).generate(jobs()))
    assert tokens_of(tight) == tokens_of(chains)
    assert max(chain.batch_threads for chain in tight) < max(chain.batch_threads for chain in chains)
    with pytest.raises(ValueError, match="cannot hold one thread"):
        engine(model, memory_budget=least - 1)


def test_all_memory_is_given_back(model):
    ours = engine(model)
    list(ours.generate(jobs()))
    assert ours.blocks_in_use == 0
    unfinished = ours.generate(jobs())
    next(unfinished)
    assert ours.blocks_in_use > 0
    unfinished.close()
    assert ours.blocks_in_use == 0
    assert len(list(ours.generate(jobs()))) == 12


def test_a_length_beyond_the_model_is_refused(model):
    with pytest.raises(ValueError, match="exceeds the 256"):
        engine(model, length_cap=257)


def test_logits_that_are_not_finite_are_reported(folder):
    broken = load_model(str(folder), dtype="float32", device="cpu")
    broken.decoder.norm.data.fill_(float("nan"))
    with pytest.raises(ValueError, match=r"not finite \(task task, problem p0, thread 0"):
        list(engine(broken).generate(jobs()))


def test_the_default_budget_fits_this_machine(model):
    ours = TorchEngine(model, sampling=SAMPLING, length_cap=CAP)
    assert len(list(ours.generate(jobs(problems=1)))) == 3


def test_a_gathered_kernel_gives_the_same_tokens(model, chains, monkeypatch):
    from hyperscale.attention.reference import GatheredAttention

    monkeypatch.setattr("hyperscale.engines.torch.engine.decode_attention", GatheredAttention)
    assert tokens_of(list(engine(model).generate(jobs()))) == tokens_of(chains)


def test_block_pool_is_no_larger_than_the_batch_can_use(model):
    ours = engine(model, memory_budget=2**33)
    shape = ours.cache_shape
    assert ours._table.blocks <= shape.rows * (blocks_for(CAP) + 1) * 9
    assert torch.count_nonzero(ours._table.k_btd) == 0
