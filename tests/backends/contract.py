"""The contract of a KV-cache backend: a real one driven without a model, step by step beside slow references.

A `Bench` is what an engine does with a backend (prompts in pieces, forks, batches whose members change, sequences
that end and seqs that are used again), on random queries, keys and values. After everything that happens to
a sequence, each of its layers is compared with a `Reference` of its own (tests/reference/cache_<name>.py):

    class Reference:
        def __init__(self, kv_heads, group, budget, settings, key): ...
        def prefill(self, q_thd, k_tkd, v_tkd, *extra) -> out_thd   # the dense part of a prompt, float64
        def decode(self, q_hd, k_kd, v_kd, *extra) -> out_hd        # one more token
        held: list[set[int]]       # per KV head: positions of the tokens held after the last step
        attended: list[int]        # per KV head: KV tokens attended by the last decode
        key, layer: int            # set by the bench: the thread's own key once it is forked, and the layer
        margin: float              # optional: least relative gap by which a victim was ever chosen over another

Below a margin of `CLOSE` fp32 may choose otherwise than float64; such a sequence is not compared any further.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hyperscale.attention.base import DecodeAttention
from hyperscale.attention.cpu import CpuAttention
from hyperscale.attention.reference import GatheredAttention
from hyperscale.backends import backend_class
from hyperscale.backends.base import PolicyContext
from hyperscale.kvcache.block_pool import BLOCK_SIZE, blocks_for
from hyperscale.kvcache.block_table import BlockTable
from hyperscale.kvcache.meter import Meter
from tests.backends.cases import Case, Extra, Inputs, Shape, random_inputs

CLOSE = 1e-5
TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 2**-6}

Kernel = Callable[[BlockTable, int], DecodeAttention]


class DeviceBlockTable(BlockTable):
    """A block table in the memory of the CPU, written as on a device: through index tensors."""

    def put(
        self, layer: int, seqs: NDArray[np.int64], places_nk: NDArray[np.integer], k_nkd: Tensor, v_nkd: Tensor
    ) -> None:
        self._put_on_device(layer, seqs, places_nk, k_nkd, v_nkd)


@dataclass
class Sequence:
    seq: int
    key: int
    inputs: Inputs
    references: list[Any]
    prompt: int
    prompt_key: int
    pieces: list[int]
    length: int = 0
    outs: list[Tensor] = field(default_factory=list)
    """out_lhd of each token after the dense part of the prompt."""
    compared: bool = True


class Bench:
    """One backend over rows of its own, and a reference for every layer of every open sequence."""

    def __init__(self, case: Case, budget: int | None, shape: Shape, kernel: Kernel = CpuAttention) -> None:
        self.case, self.budget, self.shape = case, budget, shape
        policy = backend_class(case.backend)
        heads = shape.kv_heads * shape.group
        row_tokens = policy.row_tokens(shape.max_length, budget)
        kind = DeviceBlockTable if kernel is GatheredAttention else BlockTable
        self.table = kind(
            layers=shape.layers, kv_heads=shape.kv_heads, head_dim=shape.head_dim, seqs=shape.seqs,
            max_length=row_tokens, blocks=shape.layers * shape.kv_heads * shape.seqs * (blocks_for(row_tokens) + 1),
            dtype=shape.dtype, device=torch.device("cpu"),
        )  # fmt: skip
        self.meter = Meter(self.table, shape.seqs)
        context = PolicyContext(self.table, self.meter, kernel(self.table, heads), budget, case.gates)
        self.backend = policy(context, case.settings)
        # Quest has a budget of reads; its memory is not bound.
        self.bound = budget if row_tokens == budget else None
        self.reference = import_module(f"tests.reference.cache_{case.backend}").Reference
        self.open: list[Sequence] = []
        self.steps_compared = 0

    def prompt(
        self, inputs: Inputs, tokens: int, key: int, pieces: list[int] | None = None, rng: Any = None
    ) -> Sequence:
        """Open a sequence and feed it its first `tokens` tokens as an engine does with a prompt."""
        shape, seq = self.shape, self.table.open()
        self.backend.begin(seq, key)
        dense = self.backend.dense_prompt(tokens)
        if pieces is None:
            cut = 0 if self.backend.whole_prompt or rng is None else BLOCK_SIZE * int(rng.integers(0, 3))
            pieces = [cut, dense - cut] if 0 < cut < dense else [dense]
        settings = self.backend.settings
        references = [
            self.reference(shape.kv_heads, shape.group, self.budget, settings, key) for _ in range(shape.layers)
        ]
        for layer, reference in enumerate(references):
            reference.layer = layer
        sequence = Sequence(seq, key, inputs, references, tokens, key, pieces)
        self.open.append(sequence)
        self._prefill(sequence, dense)
        while sequence.length < tokens:
            self.decode([sequence])
        return sequence

    def _prefill(self, sequence: Sequence, dense: int) -> None:
        assert sum(sequence.pieces) == dense <= sequence.prompt
        outs: list[list[Tensor]] = [[] for _ in range(self.shape.layers)]
        start = 0
        for size in sequence.pieces if dense else []:
            for layer in range(self.shape.layers):
                given = sequence.inputs.at(layer, slice(start, start + size))
                outs[layer].append(self.backend.prefill(layer, sequence.seq, *given))
            start += size
        self.meter.take(np.array([sequence.seq]))
        sequence.length = dense
        for layer, reference in enumerate(sequence.references if dense else []):
            expected = reference.prefill(*_float64(sequence.inputs.at(layer, slice(0, dense))))
            self._close(torch.cat(outs[layer]), expected)
            self._compare_held(sequence, layer)

    def fork(self, source: Sequence, inputs: Inputs, key: int) -> Sequence:
        """A thread that goes on from where `source` stands, with inputs of its own from there."""
        seq = self.table.fork(source.seq)
        self.backend.fork(source.seq, seq, key)
        thread = Sequence(
            seq, key, source.inputs.continued(source.length, inputs), copy.deepcopy(source.references),
            source.prompt, source.key, source.pieces, source.length, compared=source.compared,
        )  # fmt: skip
        for reference in thread.references:
            reference.key = key
        self.open.append(thread)
        return thread

    def finish(self, sequence: Sequence) -> None:
        self.table.close(sequence.seq)
        self.open.remove(sequence)

    def decode(self, batch: list[Sequence]) -> None:
        """Feed each of these sequences one more token."""
        seqs = np.array([sequence.seq for sequence in batch], np.int64)
        outs = []
        for layer in range(self.shape.layers):
            given = [s.inputs.at(layer, slice(s.length, s.length + 1)) for s in batch]
            out = self.backend.decode(layer, seqs, *(torch.cat(x) for x in zip(*given, strict=True)))
            assert out.dtype == self.shape.dtype
            outs.append(out)
        counts = self.meter.take(seqs)
        for i, sequence in enumerate(batch):
            sequence.outs.append(torch.stack([out[i] for out in outs]))
            self._compare(sequence, int(counts.reads[i]), int(counts.live[i]))
            sequence.length += 1
            if sequence.compared:
                for layer in range(self.shape.layers):
                    self._compare_held(sequence, layer)
        self._compare_blocks()

    def _compare(self, sequence: Sequence, reads: int, live: int) -> None:
        token = slice(sequence.length, sequence.length + 1)
        length, rows = sequence.length + 1, self.shape.layers * self.shape.kv_heads
        if self.bound is not None:
            assert live == rows * min(length, self.bound)
        expected = [
            reference.decode(*(x[0] for x in _float64(sequence.inputs.at(layer, token))))
            for layer, reference in enumerate(sequence.references)
        ]
        if min(getattr(reference, "margin", np.inf) for reference in sequence.references) < CLOSE:
            sequence.compared = False
        if not sequence.compared:
            return
        self.steps_compared += 1
        self._close(sequence.outs[-1], np.stack(expected))
        assert reads == sum(sum(reference.attended) for reference in sequence.references)
        assert live == sum(len(held) for reference in sequence.references for held in reference.held)

    def _compare_held(self, sequence: Sequence, layer: int) -> None:
        for head in range(self.shape.kv_heads):
            held = sequence.references[layer].held[head]
            k_td, v_td = self.table.gather(layer, sequence.seq, head)
            assert len(k_td) == len(held)
            if self.case.stores_keys:
                every = sequence.inputs.k[layer, : sequence.length, head]
                places = (k_td[:, None] == every[None]).all(-1)
                assert (places.sum(1) == 1).all(), "a row holds what is no key of its sequence"
                positions = places.int().argmax(1)
                assert sorted(positions.tolist()) == sorted(held)
                assert torch.equal(v_td, sequence.inputs.v[layer, positions, head])

    def _compare_blocks(self) -> None:
        seqs = np.array([sequence.seq for sequence in self.open])
        live, rows = int(self.table.live(seqs).sum()), self.shape.layers * self.shape.kv_heads * len(seqs)
        assert self.table.blocks_in_use * BLOCK_SIZE <= 1.15 * live + rows * BLOCK_SIZE

    def _close(self, got: Tensor, expected: NDArray[np.float64]) -> None:
        tolerance = TOLERANCE[self.shape.dtype]
        np.testing.assert_allclose(got.double().numpy(), expected, rtol=tolerance, atol=tolerance)


def _float64(parts: list[Tensor]) -> list[NDArray[np.float64]]:
    return [part.double().numpy() for part in parts]


def random_run(bench: Bench, rng: np.random.Generator, steps: int, extra: Extra | None = None) -> list[Sequence]:
    """Prompts, forks, steps of changing batches, ends and refills; returns every thread that there was."""
    threads: list[Sequence] = []
    prompts: list[Sequence] = []

    def fresh() -> Inputs:
        return random_inputs(bench.case, bench.shape, rng, extra)

    for _ in range(steps):
        if not prompts and bench.table.free_seqs >= 2 and rng.random() < 0.3:
            tokens = int(rng.integers(1, bench.case.longest_prompt + 1))
            prompts.append(bench.prompt(fresh(), tokens, int(rng.integers(2**63)), rng=rng))
        while prompts and bench.table.free_seqs and rng.random() < 0.6:
            threads.append(bench.fork(prompts[0], fresh(), int(rng.integers(2**63))))
        if prompts and rng.random() < 0.3:
            bench.finish(prompts.pop())
        for sequence in [s for s in bench.open if s not in prompts]:
            if sequence.length == bench.shape.max_length or rng.random() < 0.02:
                bench.finish(sequence)
        running = [s for s in bench.open if s not in prompts]
        if running:
            size = len(running) if rng.random() < 0.7 else int(rng.integers(1, len(running) + 1))
            bench.decode([running[i] for i in rng.permutation(len(running))[:size]])
    while bench.open:
        bench.finish(bench.open[-1])
    assert bench.table.blocks_in_use == 0
    assert bench.table.free_seqs == bench.shape.seqs
    return threads
