"""Jobs for the engine of `openai_server.FakeServer`, and what must come of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from hyperscale.config import SweepConfig, make_config
from hyperscale.engines.base import Chain, Job
from hyperscale.engines.openai.engine import OpenaiEngine
from hyperscale.engines.openai.protocol import request_seed
from hyperscale.engines.openai.retry import Timing
from hyperscale.model.load import Text
from tests.engines.openai.server import FakeServer

LONGEST = 64
PROMPTS = [tuple(range(3, 3 + length)) for length in (1, 15, 16, 17)]
JOBS = [Job("t", f"p{i}", prompt, {0: LONGEST, 1: 40, 5: len(prompt) + 2}) for i, prompt in enumerate(PROMPTS)]
THREADS = 12
QUICK = Timing(first_wait=0.01, longest_wait=0.1)


@contextmanager
def clean_environment() -> Iterator[pytest.MonkeyPatch]:
    """Hide the key and the proxies of the environment that the tests run in."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("OPENAI_API_KEY", "http_proxy", "all_proxy", "no_proxy"):
            patch.delenv(name, raising=False)
            patch.delenv(name.upper(), raising=False)
        yield patch


def config_for(server: FakeServer, **fields: Any) -> SweepConfig:
    known: dict[str, Any] = {
        "model": "m", "tasks": ("t",), "grid": ((6, LONGEST),), "engine": "openai", "base_url": server.url,
        "temperature": 1.0, "top_p": 1.0, "seed": 7, "output_dir": "out",
    }  # fmt: skip
    return make_config(**known | fields)


def engine_of(server: FakeServer, text: Text, timing: Timing = QUICK, **fields: Any) -> OpenaiEngine:
    return OpenaiEngine(config_for(server, **fields), text, timing)


def chains_of(engine: OpenaiEngine, jobs: list[Job] = JOBS) -> dict[tuple[str, int], Chain]:
    found = {(chain.problem_id, chain.thread): chain for chain in engine.generate(jobs)}
    assert len(found) == sum(len(job.length_caps) for job in jobs)
    return found


def tokens_of(chains: dict[tuple[str, int], Chain]) -> dict[tuple[str, int], list[int]]:
    return {key: chain.tokens.tolist() for key, chain in chains.items()}


def expected(server: FakeServer) -> dict[tuple[str, int], list[int]]:
    """Tokens of every chain of JOBS, by the seeds of the requests that came in."""
    seeds = {(len(body["prompt"]), body["max_tokens"]): body.get("seed") for body in server.bodies}
    return {
        (job.problem_id, thread): server.whole(job.prompt_tokens, seeds[len(job.prompt_tokens), room])[:room]
        for job in JOBS
        for thread, room in ((thread, cap - len(job.prompt_tokens)) for thread, cap in job.length_caps.items())
    }


def talkative(server: FakeServer) -> Job:
    """A job of one thread, whose chain is long."""
    return next(
        replace(job, length_caps={0: LONGEST})
        for job in JOBS
        if len(server.whole(job.prompt_tokens, request_seed(7, "t", job.problem_id, 0))) > 40
    )


def no_threads_left() -> bool:
    """Whether the thread of the engine's event loop has ended."""
    return not any(thread.name.startswith("openai-") for thread in threading.enumerate())
