"""What every backend must keep to. A new backend adds its line to CASES and inherits all of this."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperscale.attention.cpu import CpuAttention
from hyperscale.attention.reference import GatheredAttention
from hyperscale.backends import backend_class, backend_names
from hyperscale.backends.bounded import Protection
from hyperscale.backends.h2o import H2OSettings
from tests.backends import gated
from tests.backends.cases import Case, Shape, random_inputs
from tests.backends.contract import Bench, Kernel, random_run
from tests.reference import cache_vanilla

CASES = [
    Case("vanilla"),
    Case("tova", budgets=(24, 1, 16, 33)),
    Case("tova", Protection(protect_prompt=True, sink_tokens=4, recent_window=5), budgets=(24, 45), longest_prompt=18),
    Case("h2o", budgets=(24, 1, 16, 33)),
    Case("h2o", H2OSettings(protect_prompt=True, sink_tokens=3, recent_window=0), budgets=(24, 45), longest_prompt=18),
    Case("random", budgets=(24, 1, 16, 33)),
    Case("random", Protection(protect_prompt=True, sink_tokens=4, recent_window=5), budgets=(24,), longest_prompt=18),
    Case("quest", budgets=(40, 16, 64)),
    *gated.CASES,
]
STORAGE: dict[str, tuple[Kernel, torch.dtype]] = {
    "cpu": (CpuAttention, torch.float32),
    "cpu-bf16": (CpuAttention, torch.bfloat16),
    "gathered": (GatheredAttention, torch.float32),
}
each_case = pytest.mark.parametrize("case", CASES, ids=str)


def test_every_backend_has_a_case():
    assert {case.backend for case in CASES} == set(backend_names())


@each_case
@pytest.mark.parametrize("storage", STORAGE)
@settings(max_examples=4, deadline=None)
@given(
    data=st.data(),
    layers=st.integers(1, 2),
    kv_heads=st.integers(1, 3),
    group=st.sampled_from([1, 2, 3]),
    seed=st.integers(0, 2**32),
)
def test_every_step_is_the_references(case, storage, data, layers, kv_heads, group, seed):
    kernel, dtype = STORAGE[storage]
    budget = data.draw(st.sampled_from(case.budgets))
    bench = Bench(case, budget, Shape(layers=layers, kv_heads=kv_heads, group=group, dtype=dtype), kernel)
    random_run(bench, np.random.default_rng(seed), steps=25)


@each_case
def test_a_long_run_is_the_references_and_leaks_no_page(case):
    bench = Bench(case, case.budgets[0], Shape(max_length=160, seqs=5))
    random_run(bench, np.random.default_rng(7), steps=150)
    assert bench.steps_compared > 100


@each_case
def test_what_covers_the_sequence_is_vanilla(case):
    """With a budget of the whole sequence, or a gate that keeps everything."""
    shape = Shape()
    bench = Bench(case, None if case.budgets[0] is None else shape.max_length, shape)
    bench.reference = cache_vanilla.Reference
    random_run(bench, np.random.default_rng(3), steps=60, extra=case.keeping)
    assert bench.steps_compared > 50


@each_case
def test_a_sequence_does_not_depend_on_its_batch(case):
    """Bit for bit: each thread again, alone, in other seqs."""
    shape = Shape()
    together = Bench(case, case.budgets[0], shape)
    for thread in random_run(together, np.random.default_rng(11), steps=40):
        alone = Bench(case, case.budgets[0], shape)
        other = alone.prompt(random_inputs(case, shape, np.random.default_rng(0)), 1, key=1)
        prompt = alone.prompt(thread.inputs, thread.prompt, thread.prompt_key, thread.pieces)
        again = alone.fork(prompt, thread.inputs, thread.key)
        alone.finish(other)
        for _ in thread.outs:
            alone.decode([again])
        assert all(torch.equal(a, b) for a, b in zip(thread.outs, again.outs, strict=True))


@each_case
def test_a_fork_is_its_prompt_at_that_step(case):
    """Threads that are fed the same give the same, whenever they were forked."""
    shape, rng = Shape(), np.random.default_rng(5)
    bench, inputs = Bench(case, case.budgets[-1], shape), random_inputs(case, shape, np.random.default_rng(1))
    prompt = bench.prompt(inputs, min(40, case.longest_prompt), key=1, rng=rng)
    first = bench.fork(prompt, inputs, key=2)
    for _ in range(20):
        bench.decode([first])
    second = bench.fork(prompt, inputs, key=2)
    bench.finish(prompt)
    for _ in range(20):
        bench.decode([second, first])
    assert all(torch.equal(a, b) for a, b in zip(first.outs, second.outs, strict=False))


@each_case
def test_the_class_says_what_it_is(case):
    policy = backend_class(case.backend)
    assert policy.name == case.backend
    assert policy.frees
    assert policy.knows_length == (case.budgets != (None,))
