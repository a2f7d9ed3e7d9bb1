"""The engine that all backends share: continuous batching over forked prompts, in torch.

A problem's prompt is prefilled once, alone, and forked into its threads; every step feeds one token of every
running thread; a thread that ends makes room for the next at once. Prefilling alone keeps a prompt's numbers
free of its neighbours.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from hyperscale.attention.base import decode_attention
from hyperscale.backends.base import Backend, Parts
from hyperscale.backends.memory import cache_shape, pool_pages, reserve_for
from hyperscale.backends.vanilla import Vanilla
from hyperscale.config import Sampling
from hyperscale.engines.base import Chain, Job
from hyperscale.engines.torch.randomness import Uniforms, sequence_key
from hyperscale.engines.torch.sampling import draw
from hyperscale.engines.torch.scheduler import Admission, Pending, Queue
from hyperscale.engines.torch.sequence import Prompt, Thread
from hyperscale.hardware.devices import device_at
from hyperscale.hardware.held import HeldBytes
from hyperscale.hardware.memory import free_bytes
from hyperscale.hardware.roofline import Ceiling, ceiling
from hyperscale.kvcache.block_table import PAGE_SIZE, Rows
from hyperscale.kvcache.meter import Meter
from hyperscale.kvcache.shape import CacheShape
from hyperscale.model.linear import pack
from hyperscale.model.load import Model

PREFILL_CHUNK = 128 * PAGE_SIZE
"""Prompt tokens prefilled in one go. A multiple of the page size, as `Rows.extend` asks."""

TILE = 32
"""Rows of every decode pass under `batch_invariant`: one shape, whatever the batch."""


class TorchEngine:
    """Generates chains with one model and one backend. See `engines.base.Engine`."""

    def __init__(
        self, model: Model, *, sampling: Sampling, length_cap: int, policy: type[Backend] = Vanilla,
        settings: Any = None, cache_budget: int | None = None,
        memory_budget: int | None = None, max_batch: int = 64, batch_invariant: bool = False,
    ) -> None:  # fmt: skip
        """`length_cap` is the greatest cap of any job; `memory_budget` is in bytes of KV cache.

        `settings` are the policy's (None: its defaults), `cache_budget` is B in tokens a row where it has one.

        ValueError if the budget does not hold one thread, or the model does not reach `length_cap`.
        """
        if length_cap > model.spec.max_length:
            raise ValueError(
                f"a length of {length_cap:,} tokens exceeds the {model.spec.max_length:,} that the model was made for"
            )
        # An embedding that is not also the unembedding is only looked up.
        pack(model.decoder, leave=[] if model.decoder.unembed is None else [model.decoder.embed])
        weight = model.decoder.embed
        self._decoder, self._eos_ids, self._spec = model.decoder, model.eos_ids, model.spec
        self._held = HeldBytes(weight.device)
        self._sampling, self._batch_invariant = sampling, batch_invariant
        self._device, self._length_cap = weight.device, length_cap
        settings = policy.Settings() if settings is None else settings
        policy.check_gates(model.spec.gates)
        self._shape = cache_shape(model.spec, weight.dtype, policy)
        reserve = reserve_for(model.spec, policy, settings, cache_budget)
        budget = free_bytes(weight.device) if memory_budget is None else memory_budget
        pages = pool_pages(self._shape, budget, max_batch, length_cap, reserve)
        # Every thread holds a page a row at least.
        self._max_batch = min(max_batch, pages // self._shape.rows)
        slots = self._max_batch + 1
        self._rows = Rows(
            layers=model.spec.layers, kv_heads=model.spec.kv_heads, head_dim=model.spec.head_dim,
            slots=slots, max_length=policy.row_tokens(length_cap, cache_budget), pages=pages, dtype=weight.dtype,
            device=weight.device,
        )  # fmt: skip
        self._meter = Meter(self._rows, slots)
        attention = decode_attention(self._rows, model.spec.heads)
        parts = Parts(self._rows, self._meter, attention, cache_budget, model.spec.gates)
        self._backend = policy(parts, settings)
        self._admission = Admission(self._rows, reserve)

    @property
    def cache_shape(self) -> CacheShape:
        """Constants of this model's cache."""
        return self._shape

    @property
    def ceiling(self) -> Ceiling:
        """What this device could do at best; on a CPU measured once a process."""
        weight = self._decoder.embed
        name = str(weight.dtype).removeprefix("torch.")
        self._held.most()  # A device that is measured begins its peak anew; what there was by now is kept.
        return ceiling(self._spec, name, device_at(str(weight.device), name))

    @property
    def pages_in_use(self) -> int:
        """Pages of the pool that some sequence refers to; 0 when nothing runs."""
        return self._rows.pages_in_use

    def generate(self, jobs: Iterable[Job]) -> Generator[Chain, None, None]:
        """Yield every thread of every job once, as it ends. Closing the iterator gives all memory back.

        ValueError if the model's logits are not finite, once the threads that had ended by then are yielded.
        """
        assert self._rows.pages_in_use == 0, "one generation at a time: another one of this engine is not at its end"
        queue, prompt = Queue(jobs), None
        running: list[Thread] = []
        try:
            while running or prompt or queue.peek():
                prompt = self._admit(queue, prompt, running)
                able = self._admission.runnable(running)
                if able:
                    ended, broken = self._step(running, able)
                    yield from ended
                    if broken:
                        raise broken
                else:
                    prompt = self._relieve(queue, prompt, running)
        finally:
            # Wherever the work broke off: what is open is closed, what was half counted is forgotten.
            for slot in self._rows.open_slots():
                self._rows.close(slot)
            self._meter.clear()
            self._admission.clear()

    def _admit(self, queue: Queue, prompt: Prompt | None, running: list[Thread]) -> Prompt | None:
        """Begin as many threads as there is room for. Returns the prompt that still has some waiting, if one has."""
        while len(running) < self._max_batch:
            if prompt is None:
                pending = queue.peek()
                if pending is None or not self._admission.take_prompt(pending.job, running):
                    break
                prompt = self._prefill(queue.pop())
            if not self._admission.take_thread(prompt.job, prompt.waiting[0]):
                break
            running.append(self._fork(prompt))
            if not prompt.waiting:
                self._rows.close(prompt.slot)
                prompt = None
        return prompt

    def _relieve(self, queue: Queue, prompt: Prompt | None, running: list[Thread]) -> Prompt | None:
        """The oldest thread finds no page: the open prompt gives its own back, else the youngest thread does."""
        self._admission.grow()
        if prompt is not None:
            self._rows.close(prompt.slot)
            queue.put_back(Pending(prompt.rest(prompt.waiting), prompt.prefill_seconds, prompt.lost))
            self._admission.give_back(prompt, prompt.waiting, begun=False)
            return None
        assert len(running) > 1, "one thread alone must fit: its memory budget was checked"
        thread = running.pop()
        self._rows.close(thread.slot)
        lost = {thread.index: thread.lost + sum(thread.steps.seconds)}
        queue.put_back(Pending(thread.prompt.rest([thread.index]), thread.prompt.prefill_seconds, lost))
        self._admission.give_back(thread.prompt, [thread.index])
        return None

    @torch.inference_mode()
    def _prefill(self, pending: Pending) -> Prompt:
        job = pending.job
        assert all(len(job.prompt_tokens) < cap <= self._length_cap for cap in job.length_caps.values())
        start, slot = time.perf_counter(), self._rows.open()
        self._backend.begin(slot, sequence_key(self._sampling.seed, job.task, job.problem_id, None))
        tokens_t = torch.tensor(job.prompt_tokens, device=self._device)
        positions_t = torch.arange(len(tokens_t), device=self._device)
        dense = self._backend.dense_prompt(len(tokens_t))
        size = max(dense, 1) if self._backend.whole_prompt else PREFILL_CHUNK
        for chunk in zip(tokens_t[:dense].split(size), positions_t[:dense].split(size), strict=True):
            x_td = self._decoder.hidden(
                *chunk, lambda layer, *qkv: self._backend.prefill(layer, slot, *qkv), self._backend.gated
            )
        logits_1v = self._decoder.logits(x_td[-1:])
        slots = np.array([slot], np.int64)
        for t in range(dense, len(tokens_t)):
            logits_1v = self._decode(slots, tokens_t[t : t + 1], positions_t[t : t + 1])
            # Reads of a prompt are not counted: paper, section 5.1 counts generation steps.
            self._meter.take(slots)
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        prompt = Prompt(job, slot, logits_1v, time.perf_counter() - start)
        if pending.prefill_seconds is not None:
            # Begun again: its first thread bears what that took.
            prompt.lost = dict(pending.lost)
            prompt.lost[prompt.waiting[0]] = prompt.lost.get(prompt.waiting[0], 0.0) + prompt.prefill_seconds
            prompt.prefill_seconds = pending.prefill_seconds
        return prompt

    @torch.inference_mode()
    def _fork(self, prompt: Prompt) -> Thread:
        """The prompt's next thread, with its first token."""
        index, job = prompt.waiting.popleft(), prompt.job
        uniforms = Uniforms(self._sampling.seed, job.task, job.problem_id, index)
        slot = self._rows.fork(prompt.slot)
        key = sequence_key(self._sampling.seed, job.task, job.problem_id, index)
        self._backend.fork(prompt.slot, slot, key)
        thread = Thread(prompt, index, slot, uniforms, prompt.lost.get(index, 0.0))
        if broken := self._sample([thread], prompt.logits_1v):
            raise broken
        return thread

    @torch.inference_mode()
    def _step(self, running: list[Thread], able: list[Thread]) -> tuple[list[Chain], ValueError | None]:
        """Feed every able thread its last token, draw the next, remove those that end; why others cannot go on."""
        start = time.perf_counter()
        slots = np.array([thread.slot for thread in able], np.int64)
        logits_nv = self._decode(
            slots,
            torch.tensor([thread.tokens[-1] for thread in able], device=self._device),
            torch.tensor([thread.length - 1 for thread in able], device=self._device),
        )
        counts = self._meter.take(slots)
        finished = [thread.finish_reason(self._eos_ids) is not None for thread in able]
        alive = [thread for thread, done in zip(able, finished, strict=True) if not done]
        ended = [thread for thread, done in zip(able, finished, strict=True) if done]
        broken = self._sample(alive, logits_nv[~torch.tensor(finished)] if ended else logits_nv) if alive else None
        share = (time.perf_counter() - start) / len(able)
        for thread, *step in zip(able, *(x.tolist() for x in counts), strict=True):
            thread.steps.add(*step, len(able), share)
        held = self._held.most() if ended else None
        chains = [replace(thread.chain(self._eos_ids, self._rows), device_bytes=held) for thread in ended]
        for thread in ended:
            self._rows.close(thread.slot)
            self._admission.give_back(thread.prompt, [thread.index])
        # Those that could not take this step are the youngest.
        running[:] = alive + running[len(able) :]
        return chains, broken

    def _decode(self, slots: NDArray[np.int64], tokens_n: Tensor, positions_n: Tensor) -> Tensor:
        """logits_nv after feeding one token to each sequence."""
        if not self._batch_invariant:
            return self._decode_padded(slots, tokens_n, positions_n, len(slots))
        tiles = np.split(slots, range(TILE, len(slots), TILE))
        parts = zip(tiles, tokens_n.split(TILE), positions_n.split(TILE), strict=True)
        return torch.cat([self._decode_padded(*part, TILE) for part in parts])

    def _decode_padded(self, slots: NDArray[np.int64], tokens_n: Tensor, positions_n: Tensor, size: int) -> Tensor:
        """As `_decode`, in a pass of `size` rows, of which those past the last sequence attend nothing."""
        n = len(slots)

        def attend(layer: int, *qkv: Tensor) -> Tensor:
            out_nhd = self._backend.decode(layer, slots, *(x[:n] for x in qkv))
            return out_nhd if n == size else pad(out_nhd, (0, 0, 0, 0, 0, size - n))

        tokens_n, positions_n = (pad(x, (0, size - n)) for x in (tokens_n, positions_n))
        return self._decoder.logits(self._decoder.hidden(tokens_n, positions_n, attend, self._backend.gated))[:n]

    def _sample(self, threads: list[Thread], logits_nv: Tensor) -> ValueError | None:
        """Draw each thread's next token from its row of logits (or the one row there is); an error if not finite."""
        uniforms_n = np.array([thread.uniforms.at(len(thread.tokens)) for thread in threads])
        for thread, token in zip(threads, draw(logits_nv, self._sampling, uniforms_n).tolist(), strict=True):
            if token < 0:
                return thread.not_finite(self._rows.dtype)
            thread.tokens.append(token)
        return None
