"""Rows of samples and grades as a sweep makes them, for the tests of the results."""

from __future__ import annotations

from typing import Any

import numpy as np

from hyperscale.results.rows import chain_digest
from hyperscale.results.store import Store


def sample_row(problem: str = "p", thread: int = 0, cap: int = 64, **changes: Any) -> dict[str, Any]:
    """A vanilla chain: P = 5 and G = 7 tokens unless changed, 2 layers x 3 KV heads, pages of 4 tokens."""
    prompt, generated = changes.get("prompt_tokens", 5), changes.get("generated_tokens", 7)
    tokens = changes.get("tokens", np.arange(generated, dtype=np.int32) + 100 * thread)
    held = 6 * (prompt + 1 + np.arange(generated, dtype=np.int64))
    row = {
        "run_id": "run",
        "model": "m",
        "backend": "vanilla",
        "compression_ratio": 1.0,
        "task": "t",
        "cache_budget": None,
        "problem_id": problem,
        "thread": thread,
        "seed": 0,
        "length_cap": cap,
        "prompt_tokens": prompt,
        "generated_tokens": generated,
        "finish_reason": "stop",
        "tokens": tokens,
        "chain": chain_digest(tokens),
        "text": "x" * generated,
        "text_ends": np.arange(1, generated + 1, dtype=np.int32),
        "permutation": None,
        "step_reads": held,
        "step_live": held,
        "step_pages": 6 * (1 + np.arange(generated, dtype=np.int64) // 4),
        "page_shared": np.full(6 * -(-prompt // 4), generated, dtype=np.int64),
        "step_micros": np.full(generated, 1000, dtype=np.int64),
        "row_live": np.full(4, generated, dtype=np.int64),
        "prefill_seconds": 0.5,
        "batch_threads": 4.0,
        "step_threads": np.full(generated, 4, dtype=np.int64),
        "layers": 2,
        "kv_heads": 3,
        "token_bytes": 128,
        "page_bytes": 512,
        "engine": "torch",
        "accounting": "measured",
        "device_bytes": 10**9,
        "weight_bytes": 4_000_000,
        "token_flops": 2e6,
        "head_flops": 5e5,
        "read_flops": 768.0,
        "peak_flops": 1e11,
        "peak_bandwidth": 1e10,
    }
    return row | changes


def grade_row(
    sample: dict[str, Any], length: int = 64, answer: str | None = "1", correct: bool = True
) -> dict[str, Any]:
    """The grade of a sample's chain cut at `length`."""
    return {
        **{name: sample[name] for name in ("run_id", "task", "problem_id", "thread", "chain")},
        "length": length,
        "answer": answer,
        "normal": answer,
        "correct": correct,
        "truncated": sample["prompt_tokens"] + sample["generated_tokens"] > length,
        "flag": None,
        "strict": None,
        "official": None,
        "graders_differ": None,
    }


def caps(store: Store) -> dict[tuple[str, int], int]:
    """{(problem, thread): length_cap} of the samples that count; none may count twice."""
    frame = store.read("samples", ["problem_id", "thread", "length_cap"])
    assert not frame.duplicated(["problem_id", "thread"]).any()
    threads = zip(frame["problem_id"], frame["thread"], strict=True)
    return dict(zip(threads, frame["length_cap"], strict=True))
