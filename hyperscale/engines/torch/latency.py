"""Measure a decode step at a batch and a context, and a prefill, by the engine's own step.

The sequences are filled, not generated (`fill.py`); from there on everything is the engine's: the pass of the model,
the policy, attention, counting and sampling, until the next tokens are known. So a probe reaches into its engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from hyperscale.engines.base import Job
from hyperscale.engines.torch.engine import TorchEngine
from hyperscale.engines.torch.fill import HeldRows
from hyperscale.engines.torch.sampling import Uniforms
from hyperscale.engines.torch.scheduler import Pending
from hyperscale.engines.torch.sequence import Prompt
from hyperscale.engines.torch.sequence import Sequence as Thread
from hyperscale.hardware.roofline import Ceiling
from hyperscale.kvcache.block_pool import blocks_for
from hyperscale.kvcache.shape import CacheShape

TIMED_STEPS = 3
"""Most steps timed in a row."""


class DecodeTime(NamedTuple):
    """Steps of one batch that end at one context."""

    seconds: list[float]
    """Wall-clock seconds of each timed step."""
    reads: float
    """KV tokens attended in the last of them, mean over sequences, layers and KV heads."""
    held: float
    """KV tokens held after it, mean likewise."""


class Probe:
    """Times steps of an engine that generates nothing else. `held`: KV tokens that threads were seen to hold."""

    def __init__(self, engine: TorchEngine, held: HeldRows | None = None) -> None:
        self._engine, self._filler, self._held = engine, engine.filler, held
        self._table, self._vocab, self._states = engine._table, engine._spec.vocab, engine._states
        self._plain = next(token for token in range(self._vocab) if token not in engine.eos_ids)
        engine.warm_up([self._plain] * 2)

    @property
    def cache_shape(self) -> CacheShape:
        """Return the constants of the model's cache."""
        return self._engine.cache_shape

    @property
    def ceiling(self) -> Ceiling:
        """Return the device's limits."""
        return self._engine.ceiling

    def most(self, context: int) -> int:
        """Count the sequences of `context` tokens that the pool holds, each in blocks of its own; at most --max-batch.

        0 where there is no room for one.
        """
        # As many more blocks as the steps could take, were nothing evicted.
        row_most, lengths_lk = self._table.block_table.shape[-1], self._filler.lengths(context - 1, self._held)
        blocks = sum(min(blocks_for(length + TIMED_STEPS), row_most) for length in lengths_lk.ravel().tolist())
        return min(self._engine._max_batch, self._table.blocks // int(blocks))

    @torch.inference_mode()
    def decode(self, batch: int, context: int, steps: int = TIMED_STEPS) -> DecodeTime:
        """Time `steps` steps of `batch` sequences, the last of which attends `context` tokens, after one untimed.

        ValueError where the model's logits are not finite.
        """
        begun = max(1, context - steps - 1)
        seqs = self._filler.fill(batch, begun, self._filler.lengths(begun, self._held))
        try:
            threads = self._threads(seqs, begun)
            for _ in range(steps + 1):
                ended, broken = self._engine._step(threads[:], threads)
                assert not ended, "no measured thread ends"
                if broken:
                    raise broken
                self._states.last[seqs[self._states.stopped(seqs)]] = self._plain
            rows = self._engine.cache_shape.rows * batch
            taken = [self._states.steps(seq) for seq in seqs.tolist()]
            return DecodeTime(
                (batch * taken[0].seconds[1:]).tolist(),
                float(sum(steps.reads[-1] for steps in taken)) / rows,
                float(sum(steps.live[-1] for steps in taken)) / rows,
            )
        finally:
            self._filler.close(seqs)
            self._states.clear()
            self._engine._meter.clear()

    def prefill(self, tokens: int) -> float:
        """Time a prompt of random tokens: seconds until its last token's logits are there."""
        prompt = np.random.default_rng(0).integers(0, self._vocab, tokens).tolist()
        done = self._engine._prefill(Pending(_job(prompt, tokens + 1)))
        self._filler.close(np.array([done.seq]))
        return done.prefill_seconds

    def _threads(self, seqs: NDArray[np.int64], begun: int) -> list[Thread]:
        """Make threads that have fed `begun` tokens and none of their own."""
        job = _job([0] * begun, 2**62)
        for seq in seqs.tolist():
            self._states.begin(seq, begun, job.length_caps[0], Uniforms(0, "", str(seq), 0))
        self._states.push(seqs, np.full(len(seqs), self._plain))
        return [Thread(Prompt(job, seq, torch.empty(0), 0.0), 0, seq) for seq in seqs.tolist()]


def _job(prompt: Sequence[int], cap: int) -> Job:
    return Job("latency", "", tuple(prompt), {0: cap})
