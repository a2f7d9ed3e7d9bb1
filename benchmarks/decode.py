"""Decode tokens/s of the engine against transformers `generate`, and against the model's GEMMs alone.

Same weights, same prompts (cut to one length, so that transformers needs no padding), same number of tokens,
greedy, no end of sequence. Decode speed is (N - 1) B tokens over the time for N tokens less that for one, for
both sides; the median over repeats taken in turns. Each side is given its better dtype.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import linear

from benchmarks.common import DTYPES, ours, paired, print_table, prompts, theirs
from hyperscale.engines.base import Job, Sampling
from hyperscale.engines.torch_engine import TorchEngine
from hyperscale.model.load import Model

PROMPT = 48
BATCHES = {1: (48, 3), 8: (48, 3), 32: (32, 3), 128: (32, 3)}
"""Batch: tokens a sequence, repeats."""


def gemm_seconds(model: Model, batch: int) -> float:
    """Seconds of one decode step's matrix products alone."""
    weights = [w for w in model.decoder.parameters() if w.dim() == 2]
    inputs = {w.shape[1]: torch.randn(batch, w.shape[1]).to(w.dtype) for w in weights}

    def call() -> None:
        for weight in weights:
            linear(inputs[weight.shape[1]], weight)

    call()
    return paired({"gemm": call}, 7)["gemm"]


def engine_calls(model: Model, ids: list[tuple[int, ...]], tokens: int) -> dict[str, Any]:
    """Generating `tokens` tokens a prompt, and one."""
    cap = PROMPT + tokens
    engine = TorchEngine(model, sampling=Sampling(temperature=0), length_cap=cap, max_batch=len(ids))

    def run(cap: int) -> None:
        for _ in engine.generate([Job("bench", str(i), prompt, {0: cap}) for i, prompt in enumerate(ids)]):
            pass

    return {"many": lambda: run(cap), "one": lambda: run(PROMPT + 1)}


def generate_calls(model: Any, ids: list[tuple[int, ...]], tokens: int) -> dict[str, Any]:
    """The same by transformers."""
    batch = torch.tensor(ids)

    def run(new: int) -> None:
        with torch.inference_mode():
            model.generate(
                batch, attention_mask=torch.ones_like(batch), max_new_tokens=new, min_new_tokens=new, do_sample=False,
                pad_token_id=0,
            )  # fmt: skip

    return {"many": lambda: run(tokens), "one": lambda: run(1)}


def main() -> None:
    """Measure and print."""
    ids = [prompt[:PROMPT] for prompt in prompts(ours("float32"), 128) if len(prompt) >= PROMPT]
    assert ids, "the task's prompts are shorter than the benchmark's"
    ids = [ids[i % len(ids)] for i in range(128)]
    models = {dtype: (ours(dtype, endless=True), theirs(dtype)) for dtype in DTYPES}
    rows = []
    for batch, (tokens, repeats) in BATCHES.items():
        speeds: dict[str, dict[str, float]] = {"ours": {}, "theirs": {}, "gemm": {}}
        for dtype, (mine, other) in models.items():
            calls = {
                **{f"ours {k}": v for k, v in engine_calls(mine, ids[:batch], tokens).items()},
                **{f"theirs {k}": v for k, v in generate_calls(other, ids[:batch], tokens).items()},
            }
            for call in calls.values():
                call()
            times = paired(calls, repeats)
            for side in ("ours", "theirs"):
                # Our engine feeds the last token too: N tokens take N decode steps; `generate` takes N - 1.
                steps = tokens - 1
                speeds[side][dtype] = steps * batch / (times[f"{side} many"] - times[f"{side} one"])
            speeds["gemm"][dtype] = batch / gemm_seconds(mine, batch)
        best = {side: max(values, key=lambda dtype, v=values: v[dtype]) for side, values in speeds.items()}
        mine, other, limit = (speeds[side][best[side]] for side in ("ours", "theirs", "gemm"))
        rows.append(
            [
                str(batch), f"{mine:.0f} ({best['ours']})", f"{other:.0f} ({best['theirs']})", f"{mine / other:.2f}x",
                f"{limit:.0f} ({best['gemm']})", f"{mine / limit:.0%}",
            ]
        )  # fmt: skip
        header = ["batch", "ours, tok/s", "transformers, tok/s", "ratio", "GEMMs alone, tok/s", "ours / GEMMs"]
    print_table("Decode, SmolLM2-135M on this CPU", header, rows)


if __name__ == "__main__":
    main()
