"""Drive a backend as an engine does, without a model, beside a slow reference of every layer.

A run has chunked prompts, forks, changing batches, and ended sequences whose indices are reused, on random queries,
keys and values. After every step of a sequence its outputs, counts and held tokens are compared with those of its
references, at every end the block table's integrity. A difference raises AssertionError.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hyperscale.attention.base import DecodeAttention
from hyperscale.attention.cpu import CpuAttention
from hyperscale.attention.reference import GatheredAttention
from hyperscale.backends.base import PolicyContext
from hyperscale.kvcache.block_pool import BLOCK_SIZE, blocks_for
from hyperscale.kvcache.block_table import BlockTable
from hyperscale.kvcache.meter import Meter
from hyperscale.testing.subject import Array, Extra, Inputs, Reference, Shape, Subject, random_inputs

CLOSE = 1e-5
"""Relative gap between two scores below which fp32 may choose differently from float64."""
TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 2**-6}

Kernel = Callable[[BlockTable, int], DecodeAttention]


class DeviceBlockTable(BlockTable):
    """A block table in CPU memory, written as on a device: through index tensors."""

    def put(
        self, layer: int, seqs: NDArray[np.int64], places_nk: NDArray[np.integer], k_nkd: Tensor, v_nkd: Tensor
    ) -> None:
        """Put as on a device."""
        self._put_on_device(layer, seqs, places_nk, k_nkd, v_nkd)


@dataclass
class Sequence:
    """An open sequence, its inputs and references, and the outputs so far."""

    seq: int
    key: int
    inputs: Inputs
    references: list[Reference]
    prompt: int
    prompt_key: int
    pieces: list[int]
    """Tokens of each call of `prefill`."""
    length: int = 0
    outs: list[Tensor] = field(default_factory=list)
    """out_lhd of each token after the dense part of the prompt."""
    compared: bool = True
    """False once a choice was too close to compare."""


class Bench:
    """One backend over a block table of its own, and a reference for every layer of every open sequence."""

    def __init__(self, subject: Subject, budget: int | None, shape: Shape, kernel: Kernel = CpuAttention) -> None:
        self.subject, self.budget, self.shape = subject, budget, shape
        policy, reference = subject.policy, subject.reference
        heads = shape.kv_heads * shape.group
        row_tokens = policy.row_tokens(shape.max_length, budget)
        kind = DeviceBlockTable if kernel is GatheredAttention else BlockTable
        self.table = kind(
            layers=shape.layers, kv_heads=shape.kv_heads, head_dim=shape.head_dim, seqs=shape.seqs,
            max_length=row_tokens, blocks=shape.layers * shape.kv_heads * shape.seqs * (blocks_for(row_tokens) + 1),
            dtype=shape.dtype, device=torch.device("cpu"),
        )  # fmt: skip
        self.meter = Meter(self.table, shape.seqs)
        context = PolicyContext(self.table, self.meter, kernel(self.table, heads), budget, subject.gates)
        self.backend = policy(context, subject.settings)
        # A policy may bound its reads alone, and hold more than its budget.
        self.bound = budget if row_tokens == budget else None
        self.reference = reference
        self.open: list[Sequence] = []
        self.steps_compared = 0

    def prompt(
        self,
        inputs: Inputs,
        tokens: int,
        key: int,
        pieces: list[int] | None = None,
        rng: np.random.Generator | None = None,
    ) -> Sequence:
        """Open a sequence and feed it its first `tokens` tokens as an engine does with a prompt."""
        shape, seq = self.shape, self.table.open()
        self.backend.begin(seq, key)
        dense = self.backend.dense_prompt(tokens)
        if pieces is None:
            first = 0 if self.backend.whole_prompt or rng is None else BLOCK_SIZE * int(rng.integers(0, 3))
            pieces = [first, dense - first] if 0 < first < dense else [dense]
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

    def fork(self, source: Sequence, inputs: Inputs, key: int) -> Sequence:
        """Fork a thread that continues `source` with inputs of its own."""
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
        """Close a sequence and check the block table's integrity."""
        self.table.close(sequence.seq)
        self.open.remove(sequence)
        self.table.check_integrity()

    def decode(self, batch: list[Sequence]) -> None:
        """Feed each of these sequences one more token."""
        seqs = np.array([sequence.seq for sequence in batch], np.int64)
        outs = []
        for layer in range(self.shape.layers):
            given = [s.inputs.at(layer, slice(s.length, s.length + 1)) for s in batch]
            out = self.backend.decode(layer, seqs, *(torch.cat(x) for x in zip(*given, strict=True)))
            equal("dtype of decode's output", out.dtype, self.shape.dtype)
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

    def _prefill(self, sequence: Sequence, dense: int) -> None:
        equal("tokens of the pieces of a prompt", sum(sequence.pieces), dense)
        equal("dense_prompt is at most the prompt", dense <= sequence.prompt, True)
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
            self._close("output of prefill", torch.cat(outs[layer]), expected)
            self._compare_held(sequence, layer)

    def _compare(self, sequence: Sequence, reads: int, live: int) -> None:
        token = slice(sequence.length, sequence.length + 1)
        length, rows = sequence.length + 1, self.shape.layers * self.shape.kv_heads
        if self.bound is not None:
            equal("live tokens of a policy with a budget", live, rows * min(length, self.bound))
        expected = [
            reference.decode(*(x[0] for x in _float64(sequence.inputs.at(layer, token))))
            for layer, reference in enumerate(sequence.references)
        ]
        if min(getattr(reference, "margin", np.inf) for reference in sequence.references) < CLOSE:
            sequence.compared = False
        if not sequence.compared:
            return
        self.steps_compared += 1
        self._close("output of decode", sequence.outs[-1], np.stack(expected))
        equal("KV reads of a step", reads, sum(sum(reference.attended) for reference in sequence.references))
        held = sum(len(tokens) for reference in sequence.references for tokens in reference.held)
        equal("live tokens after a step", live, held)

    def _compare_held(self, sequence: Sequence, layer: int) -> None:
        for head in range(self.shape.kv_heads):
            held = sequence.references[layer].held[head]
            k_td, v_td = self.table.gather(layer, sequence.seq, head)
            equal(f"tokens held in layer {layer}, KV head {head}", len(k_td), len(held))
            if self.subject.stores_keys:
                every = sequence.inputs.k[layer, : sequence.length, head]
                places = (k_td[:, None] == every[None]).all(-1)
                equal("tokens of the sequence that have a place's key", set(places.sum(1).tolist()) or {1}, {1})
                positions = places.int().argmax(1)
                equal(f"positions held in layer {layer}, KV head {head}", sorted(positions.tolist()), sorted(held))
                values_as_keys = torch.equal(v_td, sequence.inputs.v[layer, positions, head])
                equal("values lie where their keys lie", values_as_keys, True)

    def _compare_blocks(self) -> None:
        seqs = np.array([sequence.seq for sequence in self.open])
        live, rows = int(self.table.live(seqs).sum()), self.shape.layers * self.shape.kv_heads * len(seqs)
        most = 1.15 * live + rows * BLOCK_SIZE
        equal("blocks in use follow the live tokens", self.table.blocks_in_use * BLOCK_SIZE <= most, True)

    def _close(self, what: str, got: Tensor, expected: Array) -> None:
        tolerance = TOLERANCE[self.shape.dtype]
        np.testing.assert_allclose(got.double().numpy(), expected, rtol=tolerance, atol=tolerance, err_msg=what)


def equal(what: str, got: object, expected: object) -> None:
    """Raise AssertionError where a backend differs from its reference."""
    if got != expected:
        raise AssertionError(f"{what}: {got}, expected {expected}")


def _float64(given: list[Tensor]) -> list[Array]:
    return [x.double().numpy() for x in given]


def random_run(bench: Bench, rng: np.random.Generator, steps: int, extra: Extra | None = None) -> list[Sequence]:
    """Run prompts, forks, steps of changing batches, ends and refills. Returns all threads."""
    threads: list[Sequence] = []
    prompts: list[Sequence] = []

    def fresh() -> Inputs:
        return random_inputs(bench.subject, bench.shape, rng, extra)

    for _ in range(steps):
        if not prompts and bench.table.free_seqs >= 2 and rng.random() < 0.3:
            tokens = int(rng.integers(1, bench.subject.longest_prompt + 1))
            prompts.append(bench.prompt(fresh(), tokens, int(rng.integers(2**63)), rng=rng))
        while prompts and bench.table.free_seqs and rng.random() < 0.6:
            threads.append(bench.fork(prompts[0], fresh(), int(rng.integers(2**63))))
        if prompts and rng.random() < 0.3:
            bench.finish(prompts.pop())
        for sequence in [s for s in bench.open if s not in prompts]:
            if sequence.length == bench.shape.max_length or rng.random() < 0.02:
                bench.finish(sequence)
        if running := [s for s in bench.open if s not in prompts]:
            size = len(running) if rng.random() < 0.7 else int(rng.integers(1, len(running) + 1))
            bench.decode([running[i] for i in rng.permutation(len(running))[:size]])
    while bench.open:
        bench.finish(bench.open[-1])
    equal("blocks in use after the last sequence ended", bench.table.blocks_in_use, 0)
    equal("sequences that can be opened", bench.table.free_seqs, bench.shape.seqs)
    return threads
