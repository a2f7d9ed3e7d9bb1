"""The engine that all backends share: continuous batching over forked prompts, in torch.

A problem's prompt is prefilled once, alone, and forked into its threads; every step feeds one token of every running
sequence; a sequence that ends makes room for the next at once. Prefilling alone keeps a prompt's numbers independent of
its neighbours.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable
from collections.abc import Sequence as Tokens
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hyperscale.attention.base import decode_attention
from hyperscale.backends.base import Backend, PolicyContext
from hyperscale.backends.memory import block_bounds_for, cache_shape, pool_blocks
from hyperscale.backends.vanilla import Vanilla
from hyperscale.config import Sampling
from hyperscale.engines.base import Chain, Job
from hyperscale.engines.torch.fill import Filler
from hyperscale.engines.torch.forward import DecodeStep, PrefillPass
from hyperscale.engines.torch.sampling import Uniforms, draw, sequence_key
from hyperscale.engines.torch.scheduler import Pending, Queue, Scheduler
from hyperscale.engines.torch.sequence import Prompt, Sequence
from hyperscale.engines.torch.states import SequenceStates
from hyperscale.hardware.devices import device_at
from hyperscale.hardware.memory import HeldBytes, free_bytes
from hyperscale.hardware.roofline import Ceiling, ceiling
from hyperscale.kvcache.block_table import BlockTable
from hyperscale.kvcache.meter import Meter
from hyperscale.kvcache.shape import CacheShape
from hyperscale.model.layers import pack
from hyperscale.model.load import Model


class TorchEngine:
    """Generates chains with one model and one backend. See `engines.base.Engine`."""

    def __init__(
        self, model: Model, *, sampling: Sampling, length_cap: int, policy: type[Backend] = Vanilla,
        settings: Any = None, cache_budget: int | None = None,
        memory_budget: int | None = None, max_batch: int = 64, batch_invariant: bool = False,
    ) -> None:  # fmt: skip
        """Allocate the cache for jobs whose caps are at most `length_cap`.

        `memory_budget` is in bytes of KV cache (default: free memory); `settings` are the policy's (default: its own);
        `cache_budget` is B in tokens a row, for a policy that has one.

        Raises ValueError if the budget does not hold one thread, or the model does not reach `length_cap`.
        """
        if length_cap > model.spec.max_length:
            raise ValueError(
                f"a length of {length_cap:,} tokens exceeds the {model.spec.max_length:,} that the model was made for"
            )
        # An embedding that is not also the unembedding is only looked up.
        pack(model.decoder, leave=[] if model.decoder.unembed is None else [model.decoder.embed])
        weight = model.decoder.embed
        self._decoder, self.eos_ids, self._spec = model.decoder, model.eos_ids, model.spec
        self._held, self._sampling = HeldBytes(weight.device), sampling
        self._device, self._length_cap = weight.device, length_cap
        settings = policy.Settings() if settings is None else settings
        policy.check_gates(model.spec.gates)
        self._shape = cache_shape(model.spec, weight.dtype, policy)
        bounds = block_bounds_for(model.spec, policy, settings, cache_budget)
        budget = free_bytes(weight.device) if memory_budget is None else memory_budget
        blocks = pool_blocks(self._shape, budget, max_batch, length_cap, bounds)
        self._max_batch = min(max_batch, blocks // self._shape.rows)  # Each holds a block a row at least.
        seqs = self._max_batch + 1  # The open prompt is one more.
        self._table = BlockTable(
            layers=model.spec.layers, kv_heads=model.spec.kv_heads, head_dim=model.spec.head_dim,
            seqs=seqs, max_length=policy.row_tokens(length_cap, cache_budget), blocks=blocks, dtype=weight.dtype,
            device=weight.device,
        )  # fmt: skip
        self._meter = Meter(self._table, seqs)
        attention = decode_attention(self._table, model.spec.heads)
        context = PolicyContext(self._table, self._meter, attention, cache_budget, model.spec.gates)
        self._backend = policy(context, settings)
        self._decode = DecodeStep(model.decoder, self._backend, batch_invariant)
        self._feed = PrefillPass(model.decoder, self._backend, self._decode, self._meter)
        self.filler = Filler(self._table, self._backend, self._feed, model.spec.vocab)
        self._warm = False
        self._scheduler = Scheduler(self._table, bounds)
        self._states = SequenceStates(seqs, model.spec.vocab, model.eos_ids)

    @property
    def cache_shape(self) -> CacheShape:
        """Return the constants of this model's cache."""
        return self._shape

    @property
    def ceiling(self) -> Ceiling:
        """Return this device's limits; on a CPU measured once a process."""
        weight = self._decoder.embed
        name = str(weight.dtype).removeprefix("torch.")
        self._held.most()  # Measuring a device resets its peak; note the peak so far.
        return ceiling(self._spec, name, device_at(str(weight.device), name))

    @property
    def blocks_in_use(self) -> int:
        """Count the blocks that some sequence holds; 0 when nothing runs."""
        return self._table.blocks_in_use

    def generate(self, jobs: Iterable[Job]) -> Generator[Chain, None, None]:
        """Yield every thread of every job once, as it ends. Closing the iterator releases all memory.

        Raises ValueError if the model's logits are not finite, after the threads that had ended by then were yielded.
        """
        assert self._table.blocks_in_use == 0, "one generation at a time: this engine is still generating"
        queue, prompt = Queue(jobs), None
        running: list[Sequence] = []
        try:
            if first := queue.peek():
                self.warm_up(first.job.prompt_tokens)
            while running or prompt or queue.peek():
                prompt = self._admit(queue, prompt, running)
                runnable = self._scheduler.runnable(running)
                if runnable:
                    ended, broken = self._step(running, runnable)
                    yield from ended
                    if broken:
                        raise broken
                else:
                    prompt = self._preempt(queue, prompt, running)
        finally:
            # Wherever generation stopped: close all sequences, forget a half-counted step.
            for seq in self._table.open_seqs():
                self._table.close(seq)
            for kept in (self._meter, self._scheduler, self._states):
                kept.clear()

    @torch.inference_mode()
    def warm_up(self, prompt: Tokens[int]) -> None:
        """Compile and load, once, what a prefill and a step run, on sequences thrown away: no chain's time has it."""
        if not self._warm:
            self._warm = True
            for seqs, tokens in self.filler.scratch(prompt, self._length_cap - 1):
                logits_1v = self._decode(seqs, *(torch.tensor([x], device=self._device) for x in (0, tokens)))
                self._meter.take(seqs)
                draw(logits_1v, self._sampling, np.zeros(1))

    def _admit(self, queue: Queue, prompt: Prompt | None, running: list[Sequence]) -> Prompt | None:
        """Start as many threads as there is room for. Returns the prompt that still has some waiting, if any."""
        while len(running) < self._max_batch:
            if prompt is None:
                pending = queue.peek()
                if pending is None or not self._scheduler.admit_prompt(pending.job, running):
                    break
                prompt = self._prefill(queue.pop())
            if not self._scheduler.admit_thread(prompt.job, prompt.waiting[0]):
                break
            running.append(self._fork(prompt))
            if not prompt.waiting:
                self._table.close(prompt.seq)
                prompt = None
        return prompt

    def _preempt(self, queue: Queue, prompt: Prompt | None, running: list[Sequence]) -> Prompt | None:
        """Free blocks for the oldest sequence: preempt the open prompt, else the youngest sequence."""
        self._scheduler.grow()
        if prompt is not None:
            self._table.close(prompt.seq)
            queue.requeue(Pending(prompt.rest(prompt.waiting), prompt.prefill_seconds, prompt.wasted))
            self._scheduler.release(prompt, prompt.waiting, started=False)
            return None
        assert len(running) > 1, "one thread alone must fit: its memory budget was checked"
        youngest = running.pop()
        seconds = float(self._states.steps(youngest.seq).seconds.sum())
        self._table.close(youngest.seq)
        self._states.end(youngest.seq)
        thread, prompt = youngest.thread, youngest.prompt
        wasted = {thread: youngest.wasted + seconds}
        queue.requeue(Pending(prompt.rest([thread]), prompt.prefill_seconds, wasted))
        self._scheduler.release(prompt, [thread])
        return None

    @torch.inference_mode()
    def _prefill(self, pending: Pending) -> Prompt:
        job = pending.job
        assert all(len(job.prompt_tokens) < cap <= self._length_cap for cap in job.length_caps.values())
        start, seq = time.perf_counter(), self._table.open()
        self._backend.begin(seq, sequence_key(self._sampling.seed, job.task, job.problem_id, None))
        logits_1v = self._feed(seq, job.prompt_tokens)
        return Prompt.prefilled(
            pending.prefill_seconds, pending.wasted, job, seq, logits_1v, time.perf_counter() - start
        )

    @torch.inference_mode()
    def _fork(self, prompt: Prompt) -> Sequence:
        """Start the prompt's next thread, and draw its first token."""
        thread, job = prompt.waiting.popleft(), prompt.job
        seq = self._table.fork(prompt.seq)
        key = sequence_key(self._sampling.seed, job.task, job.problem_id, thread)
        self._backend.fork(prompt.seq, seq, key)
        uniforms = Uniforms(self._sampling.seed, job.task, job.problem_id, thread)
        self._states.begin(seq, len(job.prompt_tokens), job.length_caps[thread], uniforms)
        sequence = Sequence(prompt, thread, seq, prompt.wasted.get(thread, 0.0))
        if broken := self._sample([sequence], np.array([seq]), prompt.logits_1v):
            raise broken
        return sequence

    @torch.inference_mode()
    def _step(self, running: list[Sequence], runnable: list[Sequence]) -> tuple[list[Chain], ValueError | None]:
        """Feed each runnable sequence its last token, draw the next, remove those that end.

        Returns the chains that ended, and the error of logits that are not finite, if any.
        """
        start = time.perf_counter()
        states, seqs = self._states, np.array([sequence.seq for sequence in runnable], np.int64)
        tokens_n, positions_n = (
            torch.from_numpy(x).to(self._device) for x in (states.last[seqs], states.length[seqs] - 1)
        )
        logits_nv = self._decode(seqs, tokens_n, positions_n)
        done_n = states.done(seqs)
        states.record(seqs, self._meter.take(seqs))
        alive, ended = runnable, []
        if done_n.any():
            logits_nv = logits_nv[torch.from_numpy(~done_n)]
            alive = [sequence for sequence, done in zip(runnable, done_n, strict=True) if not done]
            ended = [sequence for sequence, done in zip(runnable, done_n, strict=True) if done]
        broken = self._sample(alive, seqs[~done_n], logits_nv) if alive else None
        states.clock(seqs, (time.perf_counter() - start) / len(runnable))
        chains = self._end(ended)
        # Those that could not take this step are the youngest.
        running[:] = alive + running[len(runnable) :]
        return chains, broken

    def _end(self, ended: list[Sequence]) -> list[Chain]:
        """Close sequences that fed their last token; return their chains."""
        held, chains = self._held.most() if ended else None, []
        for sequence in ended:
            chains.append(sequence.chain(self._states.steps(sequence.seq), self.eos_ids, self._table, held))
            self._table.close(sequence.seq)
            self._states.end(sequence.seq)
            self._scheduler.release(sequence.prompt, [sequence.thread])
        return chains

    def _sample(self, sequences: list[Sequence], seqs: NDArray[np.int64], logits_nv: Tensor) -> ValueError | None:
        """Draw each sequence's next token from its row of logits, or from the only row; an error if not finite."""
        tokens_n = draw(logits_nv, self._sampling, self._states.next_uniforms(seqs))
        if (tokens_n < 0).any():
            broken = int((tokens_n < 0).argmax())
            return sequences[broken].not_finite(int(self._states.length[seqs[broken]]), self._table.dtype)
        self._states.push(seqs, tokens_n)
        return None
