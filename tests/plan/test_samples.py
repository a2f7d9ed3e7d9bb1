"""Bytes that samples take, planned and written."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hyperscale.model.spec import GateSpec
from hyperscale.plan.cost import RunCost
from hyperscale.results.part import encoded
from hyperscale.results.rows import rows_to_arrow
from tests.plan.test_cost import SPEC, On, config_of, run_of
from tests.results.rows import sample_row


@pytest.mark.parametrize("backend", ["vanilla", "tova", "quest", "dms"])
def test_samples_take_about_what_is_planned(backend: str) -> None:
    """Chains of 4,096 tokens: words drawn as natural text has them (Zipf), counts as the backends leave them."""
    rng, length, rows = np.random.default_rng(0), 4096, 56
    words = ["".join(rng.choice(list("etaoinshrdlu"), 1 + size)) + " " for size in rng.poisson(4, size=20_000)]
    seen = np.arange(257, 257 + length, dtype=np.int64)
    samples = []
    for thread in range(4):
        ids = np.minimum(rng.zipf(1.4, length), 20_000) - 1
        held = {
            "vanilla": rows * seen,
            "quest": rows * seen,
            "tova": rows * np.minimum(seen, 1024),
            "dms": rows * 200 + np.cumsum(rng.binomial(rows, 1 / 8, length)),
        }[backend]
        reads = rows * 512 + 16 * rng.integers(0, 16 * rows, length) if backend == "quest" else held
        samples.append(
            sample_row(
                "p", thread, 8192, prompt_tokens=256, generated_tokens=length, tokens=ids.astype(np.int32),
                text="".join(words[i] for i in ids), step_reads=reads, step_live=held, step_pages=held // 16,
                text_ends=np.cumsum([len(words[i]) for i in ids]).astype(np.int32),
                step_micros=rng.normal(9000, 300, length).astype(np.int64),
                # Another thread ends every thirty steps or so, and as many begin.
                step_threads=64 - (np.cumsum(rng.integers(0, 30, length) == 0) + thread) % 7,
            )
        )  # fmt: skip
    stored = len(encoded(rows_to_arrow("samples", samples)))
    gated = replace(SPEC, gates=GateSpec("borrowed", window=256, ratio=8))
    run = run_of((256 + length,) * 4, backend, 1024 if backend in ("tova", "quest") else None)
    cost = RunCost(config_of(), run, gated if backend == "dms" else SPEC, "bfloat16", On(prompt_tokens=256))
    assert cost.tokens(1) == 4 * length
    assert cost.stored_bytes(1) == pytest.approx(stored, rel=0.25)
