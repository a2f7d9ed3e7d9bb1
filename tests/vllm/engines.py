"""The engine that the tests of it share, and its jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hyperscale.config import SweepConfig, make_config
from hyperscale.engines.base import Chain, Job
from hyperscale.engines.vllm.engine import VllmEngine
from hyperscale.model.load import load_text

LONGEST, BATCH, BLOCK = 256, 24, 128
"""Tokens of a sequence, threads at a time (their prompts may exceed a step of vLLM's), tokens of a block."""


def config(**fields: Any) -> SweepConfig:
    defaults: dict[str, Any] = {
        "model": "tiny", "tasks": ("countdown",), "grid": ((1, LONGEST),), "engine": "vllm", "dtype": "float32",
        "temperature": 1.0, "top_p": 1.0, "seed": 5, "max_batch": BATCH, "output_dir": Path("out"),
    }  # fmt: skip
    return make_config(**{**defaults, **fields})


def engine(**fields: Any) -> VllmEngine:
    return VllmEngine(config(**fields), load_text("tiny"))


def job(problem: int, caps: dict[int, int], prompt: int = 20) -> Job:
    tokens = np.random.default_rng(problem).integers(3, 190, prompt)
    return Job("countdown", f"p{problem}", tuple(tokens.tolist()), caps)


def by_thread(chains: list[Chain]) -> dict[tuple[str, int], list[int]]:
    found = {(chain.problem_id, chain.thread): chain.tokens.tolist() for chain in chains}
    assert len(found) == len(chains), "a thread came twice"
    return found
