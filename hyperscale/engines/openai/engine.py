"""`--engine openai`: chains from a server that speaks OpenAI's protocol, such as vLLM's, SGLang's or llama.cpp's.

A request a thread, of the very prompt tokens that the torch engine would prefill. The server's cache cannot be looked
into: reads and peaks come from lengths, by the meter's own formula.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np

from hyperscale.config import SweepConfig
from hyperscale.engines.base import Chain, Job
from hyperscale.engines.openai.crew import Crew
from hyperscale.engines.openai.http import Event, Server, ServerError
from hyperscale.engines.openai.patience import GivenUp, Patience, explained
from hyperscale.engines.openai.probe import Probe, find_served
from hyperscale.engines.openai.protocol import Answer, Drawn, Protocol, request_seed
from hyperscale.engines.openai.shares import Share, Shares
from hyperscale.kvcache.meter import from_lengths
from hyperscale.kvcache.shape import CacheShape

if TYPE_CHECKING:
    from hyperscale.model.load import Text

KEY_VARIABLE = "OPENAI_API_KEY"

START_PATIENCE = 10.0
"""Seconds that a server gets to answer before the first chain: then its user still looks on."""
START_SILENCE = 600.0
"""Seconds that it gets, once it has been reached, for each tiny request: chains of others may be before it."""


class _Asked(NamedTuple):
    job: Job
    thread: int


@dataclass(frozen=True)
class _Line:
    """What the requests of one `generate` share."""

    server: Server
    patience: Patience
    shares: Shares

    def cut(self) -> None:
        """End every request, and wake those that wait for their next attempt."""
        self.patience.stop.set()
        self.server.close()


class OpenaiEngine:
    """One server's model. ValueError where the server is not there, or not what the sweep needs."""

    def __init__(self, config: SweepConfig, text: Text) -> None:
        self.check(config)
        self._config, self._text = config, text
        self._url, self._key = str(config.base_url), _key()
        with closing(Server(self._url, self._key, silence=START_SILENCE)) as server:
            patience = Patience(server.url, START_PATIENCE)
            try:
                self._served = find_served(server, patience, config)
                self._protocol = Protocol(self._served.name, config.sampling(), text.eos_ids, text.tokenizer)
                self._ability = Probe(server, patience, self._protocol).ability()
            except ServerError as error:
                raise self._refused(error) from None

    @staticmethod
    def check(config: SweepConfig) -> None:
        """ValueError if the base URL is none, or would show a secret wherever it is named."""
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
        """The server's name of the model and of its weights; which numbers it computes in it does not tell."""
        return {**self._served.identity(), "resolved_dtype": "server", "gates": None}

    @property
    def cache_shape(self) -> CacheShape:
        """A vanilla cache of 16-token pages, its numbers of 2 bytes unless --dtype says float32."""
        import torch

        from hyperscale.backends import backend_class
        from hyperscale.backends.memory import cache_shape

        dtype = torch.float32 if self._config.dtype == "float32" else torch.bfloat16
        return cache_shape(self._text.spec, dtype, backend_class("vanilla"))

    @property
    def ceiling(self) -> None:
        """Nobody says what the server runs on."""
        return None

    def generate(self, jobs: Iterable[Job]) -> Iterator[Chain]:
        """Every thread of every job once, as the server finishes them; requests in flight are dropped at the end."""
        asked = [_Asked(job, thread) for job in jobs for thread in job.length_caps]
        line = _Line(Server(self._url, self._key), Patience(self._url.rstrip("/")), Shares())
        with Crew(lambda one: self._chain(one, line), asked, self._config.request_concurrency, line.cut) as crew:
            yield from crew

    def _refused(self, error: ServerError) -> ValueError:
        return explained(error, self._url.rstrip("/"), keyed=self._key is not None)

    def _chain(self, asked: _Asked, line: _Line) -> Chain:
        """One thread's chain, asked for until it is there. ValueError where that is hopeless."""
        job, thread = asked
        prompt, cap = len(job.prompt_tokens), job.length_caps[thread]
        seed = request_seed(self._config.seed, job.task, job.problem_id, thread)
        body = self._protocol.body(self._ability, job.prompt_tokens, cap - prompt, seed)
        share = Share()

        def attempt() -> Drawn:
            answer = Answer()

            def take(event: Event) -> None:
                line.patience.alive()
                answer.take(event)

            with line.shares.attempt(share):
                line.server.post("completions", body, take, line.patience.accepted)
            self._protocol.check_prompt(answer, self._ability, job.prompt_tokens)
            return self._protocol.tokens_of(answer, cap - prompt)

        try:
            drawn = line.patience.retry(attempt, seed)
        except GivenUp:
            raise
        except (ServerError, ValueError) as error:
            reason = self._refused(error) if isinstance(error, ServerError) else error
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
