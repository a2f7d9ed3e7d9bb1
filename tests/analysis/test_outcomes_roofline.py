"""Outcomes of chains that were made up to run exactly as fast as the devices allow."""

from __future__ import annotations

import numpy as np
import pytest

from tests.analysis.test_outcomes import computed, graded
from tests.results.rows import sample_row

# Qwen-R1 7B in bf16 on an H100, by the shapes of scripts/plan_paper.py.
QWEN = {
    "layers": 28, "kv_heads": 4, "token_bytes": 512, "weight_bytes": 14_140_571_648, "token_flops": 14_140_571_648.0,
    "head_flops": 1_089_994_752.0, "read_flops": 401_408.0, "peak_flops": 989.5e12, "peak_bandwidth": 3.35e12,
}  # fmt: skip


@pytest.mark.parametrize("engine", ["torch", "vllm"])
@pytest.mark.parametrize("ends", [[64] * 15 + [304], [20, 20, 100] + [40] * 12 + [304], [304] * 16])
def test_chains_that_run_exactly_at_the_roofline_have_a_share_of_one(engine: str, ends: list[int]) -> None:
    """Sixteen threads that start together, one of which outlives the rest: steps timed whole, then divided."""
    prompt = 16
    samples = []
    fields = QWEN | {"engine": engine, "prompt_tokens": prompt}
    for thread, end in enumerate(ends):
        samples.append(sample_row("p", thread, 320, generated_tokens=end, **fields))
    flops = sum(14_140_571_648 + 401_408 * t for t in range(1, prompt + 1)) - 15 * 1_089_994_752
    prefill = max(flops / 989.5e12, (14_140_571_648 + prompt * 112 * 512) / 3.35e12)
    seconds: list[list[float]] = [[] for _ in ends]
    for step in range(max(ends)):
        beside = [thread for thread, end in enumerate(ends) if end > step]
        held = len(beside) * (prompt + step + 1)
        whole = (14_140_571_648 + held * 112 * 512) / 3.35e12
        assert whole > (len(beside) * 14_140_571_648 + held * 401_408) / 989.5e12
        for thread in beside:
            seconds[thread].append(whole / len(beside))
    for sample, taken, end in zip(samples, seconds, ends, strict=True):
        if engine == "vllm":
            taken[0] += prefill / len(ends)
        until = np.rint(np.cumsum(taken) * 1e6).astype(np.int64)
        held_by_one = 112 * (prompt + 1 + np.arange(end, dtype=np.int64))
        threads = np.array([sum(other > step for other in ends) for step in range(end)])
        sample |= {"step_reads": held_by_one, "step_live": held_by_one, "step_micros": np.diff(until, prepend=0)}
        sample |= {"step_threads": threads, "batch_threads": float(threads.mean())}
        sample |= {"prefill_seconds": 0.0 if engine == "vllm" else prefill}
    found = computed(samples, graded(samples, [80, 320]), [(w, at) for w in (1, 4, 16) for at in (80, 320)])
    assert len(found) == 6
    for row in found.to_dict("records"):
        assert row["roofline_seconds"] / row["as_run_seconds"] == pytest.approx(1, abs=5e-4), (
            row["width"],
            row["length"],
        )
