"""Jobs for the engine of `openai_server.FakeServer`, and what must come of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from hyperscale.config import SweepConfig, make_config
from hyperscale.engines.base import Chain, Job
from hyperscale.engines.openai import patience as openai_patience
from hyperscale.engines.openai.engine import OpenaiEngine
from tests.engines.openai.server import FakeServer

LONGEST = 64
PROMPTS = [tuple(range(3, 3 + length)) for length in (1, 15, 16, 17)]
JOBS = [Job("t", f"p{i}", prompt, {0: LONGEST, 1: 40, 5: len(prompt) + 2}) for i, prompt in enumerate(PROMPTS)]
THREADS = 12


@contextmanager
def hasty() -> Iterator[pytest.MonkeyPatch]:
    """Short waits between attempts, and no key or proxy of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openai_patience, "_FIRST_WAIT", 0.01)
        patch.setattr(openai_patience, "_LONGEST_WAIT", 0.1)
        for name in ("OPENAI_API_KEY", "http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
            patch.delenv(name, raising=False)
        yield patch


def config_for(server: FakeServer, **fields: Any) -> SweepConfig:
    known: dict[str, Any] = {
        "model": "m", "tasks": ("t",), "grid": ((6, LONGEST),), "engine": "openai", "base_url": server.url,
        "temperature": 1.0, "top_p": 1.0, "seed": 7, "output_dir": "out",
    }  # fmt: skip
    return make_config(**known | fields)


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


def no_threads_left() -> bool:
    """Whether every thread of the engine's has ended."""
    return not any(thread.name.startswith("request-") for thread in threading.enumerate())
