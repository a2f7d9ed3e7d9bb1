"""`--engine openai`: chains from a server that speaks OpenAI's protocol, such as vLLM's, SGLang's or llama.cpp's.

The probe that finds out what the server can do, before the first chain, also warms it up. A request a thread, of the
very prompt tokens that the torch engine would prefill. The server's cache is hidden: reads and peaks follow from
lengths, by the meter's own formula.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import anyio
import numpy as np
from anyio.from_thread import start_blocking_portal

from hyperscale.config import SweepConfig
from hyperscale.engines.base import Chain, Job
from hyperscale.engines.openai.client import Client, Event
from hyperscale.engines.openai.errors import ServerError
from hyperscale.engines.openai.probe import Probe, Served, find_served
from hyperscale.engines.openai.protocol import Ability, Answer, Drawn, Protocol, request_seed
from hyperscale.engines.openai.retry import DEFAULT, Retries, ServerDown, Timing
from hyperscale.engines.openai.shares import Share, Shares
from hyperscale.kvcache.meter import from_lengths
from hyperscale.kvcache.shape import CacheShape

if TYPE_CHECKING:
    from hyperscale.model.load import Text

KEY_VARIABLE = "OPENAI_API_KEY"
_THREAD = "openai-requests"
"""Name of the thread with the event loop, which lives as long as a probe or a `generate`."""


class OpenaiEngine:
    """One server's model. ValueError where the server is down, or does not take what the sweep needs."""

    def __init__(self, config: SweepConfig, text: Text, timing: Timing = DEFAULT) -> None:
        self.check(config)
        self._config, self._text, self._timing = config, text, timing
        self._url, self._key = str(config.base_url).rstrip("/"), _key()
        with start_blocking_portal(name=_THREAD) as portal:
            try:
                self._served, self._protocol, self._ability = portal.call(self._probe)
            except ServerError as error:
                raise error.explained(self._url, self._key) from None

    @staticmethod
    def check(config: SweepConfig) -> None:
        """ValueError if the base URL is not one, or would show a secret wherever it is named."""
        url = str(config.base_url)
        try:
            at = urlsplit(url)
            known = at.scheme in ("http", "https") and at.hostname is not None and (at.port or 1) > 0
        except ValueError:
            known = False
        if not known:
            shown = url.rpartition("@")[2]
            raise ValueError(f"--base-url {shown}: expected http:// or https://, such as http://localhost:8000/v1")
        if at.username is not None or at.query or at.fragment:
            raise ValueError(
                f"--base-url: expected an address alone, without a login, ? or #; a key goes into {KEY_VARIABLE}"
            )
        _key()

    def identity(self) -> dict[str, Any]:
        """The server's name of the model and of its weights; their dtype on the server is unknown."""
        return {**self._served.identity(), "resolved_dtype": "server", "gates": None}

    @property
    def cache_shape(self) -> CacheShape:
        """A vanilla cache of 16-token pages, its numbers of 2 bytes unless --dtype says float32."""
        import torch

        from hyperscale.backends.memory import cache_shape
        from hyperscale.backends.vanilla import Vanilla

        dtype = torch.float32 if self._config.dtype == "float32" else torch.bfloat16
        return cache_shape(self._text.spec, dtype, Vanilla)

    @property
    def ceiling(self) -> None:
        """The server's devices are unknown."""
        return None

    def generate(self, jobs: Iterable[Job]) -> Iterator[Chain]:
        """Yield every thread of every job once, as the server finishes them; cancel the other requests when closed."""
        asked = [(job, thread) for job in jobs for thread in job.length_caps]
        chains: SimpleQueue[Chain | None] = SimpleQueue()
        with start_blocking_portal(name=_THREAD) as portal:
            done = portal.start_task_soon(self._request_all, asked, chains.put)
            done.add_done_callback(lambda _: chains.put(None))
            yield from iter(chains.get, None)
            done.result()

    async def _probe(self) -> tuple[Served, Protocol, Ability]:
        timing = self._timing.of_probe()
        async with Client(self._url, self._key, timing) as client:
            retries = Retries(self._url, timing)
            served = await find_served(client, retries, self._config)
            protocol = Protocol(served.name, self._config.sampling(), self._text.eos_ids, self._text.tokenizer)
            return served, protocol, await Probe(client, retries, protocol).ability()

    async def _request_all(self, asked: list[tuple[Job, int]], put: Callable[[Chain], None]) -> None:
        """Hand every chain to `put`, `request_concurrency` requests at a time. The first error cancels the others."""
        waiting, retries, shares = iter(asked), Retries(self._url, self._timing), Shares()

        async def worker() -> None:
            for job, thread in waiting:
                put(await self._chain(job, thread, client, retries, shares))

        async with Client(self._url, self._key, self._timing) as client:
            try:
                async with anyio.create_task_group() as group:
                    for _ in range(min(self._config.request_concurrency, len(asked))):
                        group.start_soon(worker)
            except ExceptionGroup as errors:
                raise errors.exceptions[0] from None

    async def _chain(self, job: Job, thread: int, client: Client, retries: Retries, shares: Shares) -> Chain:
        """Request one thread's chain until it is whole. ValueError where that is hopeless."""
        prompt, cap = len(job.prompt_tokens), job.length_caps[thread]
        seed = request_seed(self._config.seed, job.task, job.problem_id, thread)
        body = self._protocol.body(self._ability, job.prompt_tokens, cap - prompt, seed)
        share = Share()

        async def attempt() -> Drawn:
            answer = Answer()

            def take(event: Event) -> None:
                retries.event()
                answer.take(event)

            with shares.attempt(share):
                await client.complete(body, take, retries.accepted)
            self._protocol.check_prompt(answer, self._ability, job.prompt_tokens)
            return self._protocol.tokens_of(answer, cap - prompt)

        try:
            drawn = await retries.call(attempt, seed)
        except ServerDown:
            raise
        except (ServerError, ValueError) as error:
            reason = error.explained(self._url, self._key) if isinstance(error, ServerError) else error
            raise ValueError(f"{job.task} {job.problem_id}, L = {cap} tokens: {reason}") from None
        spec = self._text.spec
        counts = from_lengths(prompt, len(drawn.tokens), spec.layers * spec.kv_heads)
        return Chain(
            task=job.task,
            problem_id=job.problem_id,
            thread=thread,
            length_cap=cap,
            prompt_tokens=prompt,
            tokens=np.array(drawn.tokens, np.int32),
            finish_reason=drawn.finish_reason,
            step_micros=share.step_micros(len(drawn.tokens)),
            prefill_seconds=0.0,
            batch_threads=share.beside,
            accounting=drawn.accounting,
            **counts._asdict(),
        )


def _key() -> str | None:
    """The API key of the environment. ValueError, which does not show it, where no header can hold it."""
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise ValueError(f"{KEY_VARIABLE} has characters that a header cannot hold: set it again")
    return key or None
