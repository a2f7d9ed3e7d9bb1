"""Decode tokens/s of the engine against transformers `generate`, and against the model's GEMMs alone.

Same weights, same prompts (cut to one length, so that transformers needs no padding), same number of tokens,
greedy, no end of sequence. Decode speed of both sides is (N - 1) B tokens over the time for N tokens minus that for
one, which excludes prefill; the median over repeats measured in turns. Each side runs in the faster dtype of a short
probe. GEMMs alone: every weight times a batch once, by `torch.nn.functional.linear`, and packed as in our engine; in
brackets, our speed's share of it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.common import DTYPES, ours, paired, print_table, prompts, theirs
from hyperscale.config import Sampling
from hyperscale.engines.base import Job
from hyperscale.engines.torch.engine import TorchEngine
from hyperscale.model.layers import linear
from hyperscale.model.load import Model

PROMPT = 48
PROBE = 9
SHORT = {"float32": "fp32", "bfloat16": "bf16"}
SIZES = ((1, 97, 3), (8, 97, 3), (32, 193, 2), (128, 33, 3), (128, 193, 2))
"""Batch, tokens per sequence, repeats."""


def gemm_seconds(model: Model, batch: int) -> dict[str, float]:
    """Measure one decode step's matrix products in seconds: torch's plain ones, and packed as in our engine."""
    weights = [w for w in model.decoder.parameters() if w.dim() == 2]
    inputs = {w.shape[1]: torch.randn(batch, w.shape[1]).to(w.dtype) for w in weights}

    @torch.inference_mode()
    def run(product: Callable[[Tensor, Tensor], Tensor]) -> None:
        for weight in weights:
            product(inputs[weight.shape[1]], weight)

    calls = {"plain": lambda: run(torch.nn.functional.linear), "packed": lambda: run(linear)}
    for call in calls.values():
        call()
    return paired(calls, 7)


def engine_calls(model: Model, ids: list[tuple[int, ...]], tokens: int) -> dict[str, Any]:
    """Return calls of our engine that generate `tokens` tokens per prompt, and one."""
    cap = PROMPT + tokens
    engine = TorchEngine(model, sampling=Sampling(temperature=0), length_cap=cap, max_batch=len(ids))

    def run(cap: int) -> None:
        for _ in engine.generate([Job("bench", str(i), prompt, {0: cap}) for i, prompt in enumerate(ids)]):
            pass

    return {"many": lambda: run(cap), "one": lambda: run(PROMPT + 1)}


def generate_calls(model: Any, ids: list[tuple[int, ...]], tokens: int) -> dict[str, Any]:
    """Return the same calls of transformers' `generate`."""
    batch = torch.tensor(ids)

    def run(new: int) -> None:
        with torch.inference_mode():
            model.generate(
                batch, attention_mask=torch.ones_like(batch), max_new_tokens=new, min_new_tokens=new, do_sample=False,
                pad_token_id=0,
            )  # fmt: skip

    return {"many": lambda: run(tokens), "one": lambda: run(1)}


def speed(sides: dict[str, dict[str, Any]], batch: int, tokens: int, repeats: int) -> dict[str, float]:
    """Measure decode tokens/s of each side, in turns."""
    calls = {f"{name} {amount}": call for name, side in sides.items() for amount, call in side.items()}
    times = paired(calls, repeats)
    return {name: (tokens - 1) * batch / (times[f"{name} many"] - times[f"{name} one"]) for name in sides}


def measure(models: dict[str, tuple[Model, Any]], ids: list[tuple[int, ...]], tokens: int, repeats: int) -> list[str]:
    """Measure one row of the table."""
    batch = len(ids)
    makers = {"ours": (0, engine_calls), "theirs": (1, generate_calls)}
    best = {}
    for name, (index, make) in makers.items():
        probes = {dtype: make(pair[index], ids, PROBE) for dtype, pair in models.items()}
        for call in (call for side in probes.values() for call in side.values()):
            call()
        speeds = speed(probes, batch, PROBE, 1)
        best[name] = max(speeds, key=lambda dtype: speeds[dtype])
    sides = {name: make(models[best[name]][index], ids, tokens) for name, (index, make) in makers.items()}
    speeds = speed(sides, batch, tokens, repeats)
    times = {dtype: gemm_seconds(pair[0], batch) for dtype, pair in models.items()}
    limits = {kind: batch / min(time[kind] for time in times.values()) for kind in ("plain", "packed")}
    return [
        str(batch),
        f"{PROMPT} + {tokens}",
        f"{speeds['ours']:.0f} {SHORT[best['ours']]}",
        f"{speeds['theirs']:.0f} {SHORT[best['theirs']]}",
        f"{speeds['ours'] / speeds['theirs']:.2f}x",
        *(f"{limit:.0f} ({speeds['ours'] / limit:.0%})" for limit in limits.values()),
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, help="measure this batch alone")
    parser.add_argument("--tokens", type=int, help="measure this number of tokens alone")
    args = parser.parse_args()
    models = {dtype: (ours(dtype, endless=True), theirs(dtype)) for dtype in DTYPES}
    ids = [prompt[:PROMPT] for prompt in prompts(models["float32"][0], 128)]
    assert all(len(prompt) == PROMPT for prompt in ids), "a prompt of the task is shorter than PROMPT"
    rows = [
        measure(models, ids[:batch], tokens, repeats)
        for batch, tokens, repeats in SIZES
        if args.batch in (None, batch) and args.tokens in (None, tokens)
    ]
    header = ["batch", "prompt + new", "ours tok/s", "generate tok/s", "ratio", "GEMMs (ours)", "packed (ours)"]
    print_table("Decode, SmolLM2-135M on this CPU", header, rows)


if __name__ == "__main__":
    main()
