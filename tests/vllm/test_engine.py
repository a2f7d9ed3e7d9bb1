"""The engine on the real vLLM, with the model that comes along."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import numpy as np
import psutil
import pytest

from hyperscale.config import Sampling
from hyperscale.engines.base import Chain
from hyperscale.engines.torch.engine import TorchEngine
from hyperscale.engines.vllm.engine import VllmEngine
from hyperscale.model.load import load_model, load_text
from tests.vllm.engines import BATCH, BLOCK, LONGEST, by_thread, config, engine, job


@pytest.fixture(scope="module")
def many() -> tuple[list[Chain], float]:
    """Chains of twice as many threads as vLLM is given at a time, and the seconds that they took."""
    vllm = engine()
    assert vllm.cache_shape.page_bytes == BLOCK * vllm.cache_shape.token_bytes
    jobs = [job(i, {thread: LONGEST if thread < 3 else 128 for thread in range(6)}, prompt=15 + i) for i in range(16)]
    list(vllm.generate([job(99, {0: 24}, prompt=20)]))  # Before its first, an engine warms vLLM up.
    began = time.perf_counter()
    chains = list(vllm.generate(jobs))
    return chains, time.perf_counter() - began


def test_every_thread_ends_at_its_cap_or_with_an_end_token(many: tuple[list[Chain], float]) -> None:
    chains, _ = many
    (end,) = load_text("tiny").eos_ids
    assert set(by_thread(chains)) == {(f"p{i}", thread) for i in range(16) for thread in range(6)}
    for chain in chains:
        tokens = chain.tokens.tolist()
        assert chain.prompt_tokens == 15 + int(chain.problem_id[1:])
        assert chain.length_cap == (LONGEST if chain.thread < 3 else 128)
        assert end not in tokens[:-1]
        if chain.finish_reason == "stop":
            assert tokens[-1] == end
            assert chain.prompt_tokens + len(tokens) <= chain.length_cap
        else:
            assert tokens[-1] != end
            assert chain.prompt_tokens + len(tokens) == chain.length_cap
    reasons = {chain.finish_reason for chain in chains}
    assert reasons == {"stop", "length"}, "the model does both at this temperature"


def test_the_steps_times_add_up_to_the_wall_time(many: tuple[list[Chain], float]) -> None:
    chains, seconds = many
    told = sum(int(chain.step_micros.sum()) for chain in chains) / 1e6
    assert told <= seconds
    assert told == pytest.approx(seconds, rel=0.05)
    assert all((chain.step_micros >= 0).all() for chain in chains)


def test_no_more_threads_run_than_the_batch_holds(many: tuple[list[Chain], float]) -> None:
    chains, _ = many
    assert max(chain.batch_threads for chain in chains) <= BATCH
    assert np.mean([chain.batch_threads for chain in chains]) > BATCH / 2


def test_chains_come_as_they_end() -> None:
    """Of two problems the one with short caps is there long before the other has ended."""
    vllm = engine()
    coming = vllm.generate([job(1, {0: LONGEST}), job(2, {0: 23})])
    began = time.perf_counter()
    first = next(coming)
    early = time.perf_counter() - began
    assert (first.problem_id, len(first.tokens)) == ("p2", 3)
    (last,) = coming
    assert len(last.tokens) < 20 or early < (time.perf_counter() - began) / 2


def test_memory_is_that_of_all_processes(many: tuple[list[Chain], float]) -> None:
    chains, _ = many
    own = psutil.Process().memory_info().rss
    held = [chain.device_bytes for chain in chains]
    assert all(isinstance(entry, int) and entry > own + 300_000_000 for entry in held), "a core and a worker beside us"


def test_counts_are_those_of_the_torch_engine() -> None:
    """Greedy, in float32, both draw the same chains; then all counts agree that do not depend on the page's size."""
    jobs = [job(i, {0: 60 + 7 * i}, prompt=1 + 9 * i) for i in range(6)]
    ours = VllmEngine(config(temperature=0.0), load_text("tiny"))
    model = load_model("tiny", dtype="float32", device="cpu")
    torch_engine = TorchEngine(model, sampling=Sampling(temperature=0), length_cap=LONGEST, max_batch=8)
    expected = {chain.problem_id: chain for chain in torch_engine.generate(jobs)}
    compared = 0
    for chain in ours.generate(jobs):
        other = expected[chain.problem_id]
        same = chain.tokens.tolist() == other.tokens.tolist()
        assert same or chain.tokens[0] == other.tokens[0]
        if same:
            compared += 1
            assert chain.finish_reason == other.finish_reason
            for name in ("step_reads", "step_live", "row_live"):
                np.testing.assert_array_equal(getattr(chain, name), getattr(other, name), err_msg=name)
        assert chain.accounting == "from_lengths"
    assert compared >= 5
    for name in ("layers", "kv_heads", "token_bytes"):
        assert getattr(ours.cache_shape, name) == getattr(torch_engine.cache_shape, name)


def test_greedy_threads_are_all_alike() -> None:
    chains = list(engine(temperature=0.0).generate([job(3, {0: 90, 1: 90, 2: 90, 3: 80})]))
    tokens = by_thread(chains)
    assert tokens["p3", 0] == tokens["p3", 1] == tokens["p3", 2]
    assert tokens["p3", 3] == tokens["p3", 0][: len(tokens["p3", 3])]


def test_a_thread_draws_the_same_whatever_is_asked_for_beside_it() -> None:
    """In one request, one by one, with others, after a resume that lacks some: the seed goes with the thread."""
    together = by_thread(list(engine().generate([job(i, dict.fromkeys(range(5), 128)) for i in range(4)])))
    alone = [job(i, {thread: 128}) for i in (2, 0) for thread in (4, 1, 3)]
    lacking = [job(3, {0: 128, 3: 128, 4: 128}), job(1, {2: 128, 3: 128, 4: 128})]
    apart = by_thread(list(engine().generate([*alone, *lacking])))
    assert len(apart) == 12
    assert apart == {key: together[key] for key in apart}
    assert len({tuple(tokens) for tokens in together.values()}) > 15, "threads differ from each other"
    other = by_thread(list(engine(seed=6).generate([job(0, dict.fromkeys(range(5), 128))])))
    assert all(other[key] != together[key] for key in other if len(other[key]) > 20)


def test_a_longer_cap_goes_on_where_the_shorter_one_cut() -> None:
    short = by_thread(list(engine().generate([job(i, {0: 60, 1: 60}) for i in range(4)])))
    long = by_thread(list(engine().generate([job(i, {0: 200, 1: 200}) for i in range(4)])))
    assert all(tokens == long[key][: len(tokens)] for key, tokens in short.items())


def test_vllm_shares_the_blocks_that_we_count_as_shared(shared_vllm: dict[str, Any]) -> None:
    """Threads after the first find in the prefix cache what `step_pages` leaves out, and not a block more."""
    vllm = engine()
    shape = vllm.cache_shape
    for problem, prompt in enumerate((127, 128, 129, 200), start=40):
        found: dict[int, int] = {}
        (process,) = (entry for entry in shared_vllm.values() if entry is vllm._vllm)
        step = process._engine.step

        def noting(found: dict[int, int] = found, step: Any = step) -> Any:
            outputs = step()
            for output in outputs:
                found[output.outputs[0].index] = output.num_cached_tokens
            return outputs

        process._engine.step = noting
        try:
            chains = list(vllm.generate([job(problem, {0: 240, 1: 240, 2: 240}, prompt)]))
        finally:
            process._engine.step = step
        assert [found[1], found[2]] == [(prompt - 1) // BLOCK * BLOCK] * 2
        for chain in chains:
            blocks = -(-(prompt + np.arange(1, len(chain.tokens) + 1)) // BLOCK)
            np.testing.assert_array_equal(chain.step_pages, (blocks - found[1] // BLOCK) * shape.rows)


def test_a_block_takes_the_bytes_that_we_count(shared_vllm: dict[str, Any]) -> None:
    """vLLM cuts the memory that it was given into blocks: as many as ours of `page_bytes` for every row fit in it."""
    vllm = engine()
    shape, cache = vllm.cache_shape, vllm._vllm._engine.vllm_config.cache_config
    assert cache.kv_cache_memory_bytes // (shape.page_bytes * shape.rows) == cache.num_gpu_blocks


def test_giving_up_leaves_nothing_running() -> None:
    vllm = engine()
    list(vllm.generate([job(40, dict.fromkeys(range(8), LONGEST))]))  # vLLM compiles beside its first steps.
    jobs = [job(i, dict.fromkeys(range(8), LONGEST)) for i in range(40)]
    coming = vllm.generate(jobs)
    first = next(coming)
    assert vllm._vllm.unfinished > 0
    coming.close()
    assert vllm._vllm.unfinished == 0
    processes = [process for process in psutil.Process().children(recursive=True) if "VLLM" in process.name()]
    assert processes

    def used() -> dict[int, float]:
        seconds = {}
        for process in processes:
            with suppress(psutil.NoSuchProcess):  # vLLM starts some for a moment.
                seconds[process.pid] = sum(process.cpu_times()[:2])
        return seconds

    def busy() -> float:
        before = used()
        time.sleep(1.0)
        return sum(seconds - before[pid] for pid, seconds in used().items())

    # Beside other work it takes them a while to hear of it; what was given up would take them longer.
    assert any(busy() < 0.4 for _ in range(5)), "they still compute"
    again = by_thread(list(vllm.generate(jobs[:1])))
    assert len(again) == 8
    if first.problem_id == "p0":
        assert again["p0", first.thread] == first.tokens.tolist()
    began = time.monotonic()
    told = [chain.step_micros for chain in vllm.generate(jobs[1:2])]
    took = time.monotonic() - began
    assert sum(int(micros.sum()) for micros in told) <= took * 1e6, "what was cancelled is not charged"


def test_an_abandoned_iterator_is_given_up_too() -> None:
    vllm = engine()
    for _ in vllm.generate([job(i, dict.fromkeys(range(8), LONGEST)) for i in range(10)]):
        break
    assert vllm._vllm.unfinished == 0


def test_the_ceiling_is_of_this_machine() -> None:
    found = engine().ceiling
    assert found is not None
    assert found.peak_flops > 1e6
    assert found.peak_bandwidth > 1e8
