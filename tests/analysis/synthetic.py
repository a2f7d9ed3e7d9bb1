"""Tables of a made-up sweep: accuracies saturate with W and L, compressed caches read less."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from hyperscale.results.schema import OUTCOMES, POINTS

WIDTHS = (1, 2, 4, 8)
LENGTHS = (128, 512, 2048)
COSTS = ("kv_reads", "peak_tokens", "peak_bytes")


def outcomes_table(
    backends: Mapping[str, Sequence[float]],
    *,
    tasks: Sequence[str] = ("gsm8k", "gpqa_diamond"),
    widths: Sequence[int] = WIDTHS,
    lengths: Sequence[int] = LENGTHS,
    problems: int = 12,
    seed: int = 0,
) -> pd.DataFrame:
    """OUTCOMES of `backends` (name -> compression ratios)."""
    rng = np.random.default_rng(seed)
    rows = []
    for task in tasks:
        ease_n = rng.normal(-1.5, 1.5, problems)
        for backend, ratios in backends.items():
            for ratio in ratios:
                for width in widths:
                    for length in lengths:
                        for n in range(problems):
                            skill = ease_n[n] + 0.5 * np.log2(width) + 0.45 * np.log2(length / 512) - 0.05 * ratio
                            used = length * rng.uniform(0.6, 1.0)
                            peak = width * used / ratio
                            rows.append(
                                {
                                    "model": "org/model-1b",
                                    "task": task,
                                    "backend": backend,
                                    "compression_ratio": ratio,
                                    "width": width,
                                    "length": length,
                                    "problem_id": f"p{n:03}",
                                    "accuracy": float(rng.random() < 1 / (1 + np.exp(-skill))),
                                    "tied": 0.1,
                                    "kv_reads": peak * used / 2,
                                    "peak_tokens": peak,
                                    "peak_tokens_sum": 1.1 * peak,
                                    "peak_bytes": peak * 23040,
                                    "peak_bytes_sum": 1.1 * peak * 23040,
                                    "seconds": 0.002 * width * used * (0.4 + 0.6 / ratio),
                                    "max_threads": 16,
                                    "timing": "latency",
                                    "as_run_seconds": 0.003 * width * used,
                                    "prompt_fits": True,
                                    "mean_length": used,
                                    "truncated_share": float(rng.random() * 0.5),
                                    "realised_ratio": ratio,
                                    "batch_threads": 16.0,
                                    "pool": max(widths),
                                    "roofline_seconds": 0.001 * width * used * (0.4 + 0.6 / ratio),
                                    "device_bytes": 2e9,
                                    "engine": "torch",
                                    "accounting": "measured",
                                }
                            )
    return pd.DataFrame(rows, columns=[column.name for column in OUTCOMES])


def points_table(
    backends: Mapping[str, Sequence[float]],
    *,
    tasks: Sequence[str] = ("gsm8k", "gpqa_diamond"),
    widths: Sequence[int] = WIDTHS,
    lengths: Sequence[int] = LENGTHS,
    problems: int = 12,
    seed: int = 0,
) -> pd.DataFrame:
    """POINTS of `outcomes_table`, with an interval of two standard errors."""
    outcomes = outcomes_table(backends, tasks=tasks, widths=widths, lengths=lengths, problems=problems, seed=seed)
    key = ["model", "task", "backend", "compression_ratio", "width", "length"]
    means = outcomes.groupby(key, as_index=False).mean(numeric_only=True)
    error = 2 * np.sqrt(means["accuracy"] * (1 - means["accuracy"]) / problems)
    means = means.assign(
        aggregate=np.where(means["task"] == "humaneval", "pass", "majority"),
        accuracy_low=(means["accuracy"] - error).clip(0, 1),
        accuracy_high=(means["accuracy"] + error).clip(0, 1),
        standard_error=error / 2,
        prompts_fit=1.0,
        draws=1,
        throughput=60 / means["seconds"],
        roofline_share=means["roofline_seconds"] / means["seconds"],
        tied_share=means["tied"],
        chance=np.where(means["task"] == "gpqa_diamond", 0.25, 0.0),
        problems=problems,
        samples=problems * max(widths),
        complete=True,
        engine="torch",
        timing="latency",
        accounting="measured",
    )
    return means[[column.name for column in POINTS]]
