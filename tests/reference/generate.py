"""One thread at a time, the whole sequence through transformers at every step: no cache, no batch, no page."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from hyperscale.config import Sampling
from hyperscale.engines.torch.sampling import Uniforms
from tests.reference.sampling import draw


@cache
def _model(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def generate(
    folder: Path, prompt: list[int], cap: int, eos_ids: set[int], sampling: Sampling, identity: tuple[str, str, int]
) -> list[int]:
    """Tokens of one thread. Only the uniform numbers are the engine's own: they define the sample."""
    uniforms = Uniforms(sampling.seed, *identity)
    tokens: list[int] = []
    while len(prompt) + len(tokens) < cap and not (tokens and tokens[-1] in eos_ids):
        with torch.no_grad():
            logits = _model(folder)(torch.tensor([prompt + tokens])).logits[0, -1].tolist()
        uniform = uniforms.at(len(tokens))
        token, _ = draw(logits, uniform, sampling.temperature, sampling.top_k, sampling.top_p, sampling.min_p)
        tokens.append(token)
    return tokens
