"""The contract of a KV-cache backend, checked against a masked reference that the backend's author writes.

    from hyperscale.testing import check_backend
    from hyperscale.testing.subject import MaskedReference

    class Reference(MaskedReference):
        def decode(self, q_hd, k_kd, v_kd, *extra):
            for held in self.held:
                if len(held) == self.budget:
                    held.remove(min(position for position in held if position >= self.settings.sink_tokens))
            return super().decode(q_hd, k_kd, v_kd)

    def test_my_backend():
        check_backend(MyBackend, Reference)

The first call in a new environment compiles kernels for some minutes; later ones take seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch

from hyperscale.attention.cpu import CpuAttention
from hyperscale.attention.reference import GatheredAttention
from hyperscale.backends.base import Backend
from hyperscale.model.spec import GateSpec
from hyperscale.testing.bench import Bench, Kernel, equal, random_run
from hyperscale.testing.subject import Extra, MakeReference, MaskedReference, Shape, Subject, no_extra, random_inputs

BUDGETS = (24, 1, 16, 33)
"""Budgets tried by default, in tokens a row, as far as the policy accepts them."""
STORAGE: dict[str, tuple[Kernel, torch.dtype]] = {
    "cpu": (CpuAttention, torch.float32),
    "cpu-bf16": (CpuAttention, torch.bfloat16),
    "gathered": (GatheredAttention, torch.float32),
}


def check_backend(
    policy: type[Backend],
    reference: MakeReference,
    *,
    settings: Any = None,
    budgets: tuple[int | None, ...] | None = None,
    extra: Extra = no_extra,
    keeping: Extra | None = None,
    stores_keys: bool = True,
    gates: GateSpec | None = None,
    longest_prompt: int = 60,
    seed: int = 0,
    checks: Iterable[str] | None = None,
) -> None:
    """Check a backend against its contract; AssertionError says how it breaks it.

    Each of CHECKS (or those named in `checks`) drives prefill, decode, fork, finish and refill on random inputs drawn
    from `seed`. `reference(kv_heads, group, budget, settings, key)` makes the masked reference of one layer of one
    sequence; see `subject.Reference`. The other arguments are the fields of `subject.Subject`. Raises ValueError if the
    policy accepts none of the default budgets: pass `budgets` then.
    """
    if budgets is None:
        budgets = _accepted(policy, settings) if policy.knows_length else (None,)
    subject = Subject(policy, reference, settings, budgets, extra, keeping, stores_keys, gates, longest_prompt)
    for name in CHECKS if checks is None else checks:
        CHECKS[name](subject, np.random.default_rng(seed))


def _accepted(policy: type[Backend], settings: Any) -> tuple[int, ...]:
    chosen = policy.Settings() if settings is None else settings
    accepted = []
    for budget in BUDGETS:
        try:
            policy.check_budget(budget, chosen)
        except ValueError:
            continue
        accepted.append(budget)
    if not accepted:
        raise ValueError(f"check_backend: {policy.name} accepts none of the budgets {BUDGETS}; pass budgets=(...)")
    return tuple(accepted)


def class_says_what_it_is(subject: Subject, rng: np.random.Generator) -> None:
    """Check name, `frees` and `knows_length`, which the command line and the docs show."""
    policy = subject.policy
    equal("name is a non-empty string", bool(policy.name) and isinstance(policy.name, str), True)
    equal("frees says in words what is freed or saved", bool(policy.frees) and isinstance(policy.frees, str), True)
    equal("knows_length, for a policy that takes a budget", policy.knows_length, subject.budgets != (None,))


def every_step_is_the_references(subject: Subject, rng: np.random.Generator) -> None:
    """Compare random runs in random shapes, for every kernel and dtype of the CPU."""
    for kernel, dtype in STORAGE.values():
        layers, kv_heads, group = (int(rng.integers(1, most + 1)) for most in (2, 3, 3))
        budget = subject.budgets[int(rng.integers(len(subject.budgets)))]
        bench = Bench(subject, budget, Shape(layers=layers, kv_heads=kv_heads, group=group, dtype=dtype), kernel)
        random_run(bench, rng, steps=25)


def a_long_run_leaks_no_block(subject: Subject, rng: np.random.Generator) -> None:
    """Compare a long run, which reuses indices and blocks many times."""
    bench = Bench(subject, subject.budgets[0], Shape(max_length=160, seqs=5))
    random_run(bench, rng, steps=150)
    equal("more than 100 steps were compared", bench.steps_compared > 100, True)


def covering_the_sequence_is_vanilla(subject: Subject, rng: np.random.Generator) -> None:
    """Compare with the uncompressed cache: under a budget of the whole sequence, or gates that keep everything."""
    if not subject.policy.knows_length and subject.keeping is None:
        return
    shape = Shape()
    bench = Bench(subject, shape.max_length if subject.policy.knows_length else None, shape)
    bench.reference = MaskedReference
    random_run(bench, rng, steps=60, extra=subject.keeping)
    equal("more than 50 steps were compared", bench.steps_compared > 50, True)


def a_sequence_does_not_depend_on_its_batch(subject: Subject, rng: np.random.Generator) -> None:
    """Run each thread again, alone, under another index: outputs are equal bit for bit."""
    shape = Shape()
    together = Bench(subject, subject.budgets[0], shape)
    for thread in random_run(together, rng, steps=40):
        alone = Bench(subject, subject.budgets[0], shape)
        other = alone.prompt(random_inputs(subject, shape, np.random.default_rng(0)), 1, key=1)
        prompt = alone.prompt(thread.inputs, thread.prompt, thread.prompt_key, thread.pieces)
        again = alone.fork(prompt, thread.inputs, thread.key)
        alone.finish(other)
        for _ in thread.outs:
            alone.decode([again])
        same = all(torch.equal(a, b) for a, b in zip(thread.outs, again.outs, strict=True))
        equal("outputs of a thread alone are those in a batch, bit for bit", same, True)


def a_fork_is_its_prompt(subject: Subject, rng: np.random.Generator) -> None:
    """Fork a prompt at once and 20 steps later: threads with equal inputs have equal outputs, bit for bit."""
    shape, tokens = Shape(), min(40, subject.longest_prompt)
    bench, inputs = Bench(subject, subject.budgets[-1], shape), random_inputs(subject, shape, rng)
    prompt = bench.prompt(inputs, tokens, key=1, rng=rng)
    first = bench.fork(prompt, inputs, key=2)
    for _ in range(20):
        bench.decode([first])
    second = bench.fork(prompt, inputs, key=2)
    bench.finish(prompt)
    for _ in range(20):
        bench.decode([second, first])
    same = all(torch.equal(a, b) for a, b in zip(first.outs, second.outs, strict=False))
    equal("outputs of forks with equal inputs, bit for bit", same, True)


CHECKS: dict[str, Callable[[Subject, np.random.Generator], None]] = {
    check.__name__: check
    for check in (
        class_says_what_it_is,
        every_step_is_the_references,
        a_long_run_leaks_no_block,
        covering_the_sequence_is_vanilla,
        a_sequence_does_not_depend_on_its_batch,
        a_fork_is_its_prompt,
    )
}
