"""What lengths alone say of a vanilla chain is what the engine counts where attention ran."""

from __future__ import annotations

import numpy as np
import pytest

from hyperscale.config import Sampling
from hyperscale.engines.base import Job
from hyperscale.engines.torch.engine import TorchEngine
from hyperscale.kvcache.meter import from_lengths
from hyperscale.model.load import load_model
from tests.tiny_models import write_tiny_model


@pytest.mark.parametrize("prompt", [1, 15, 16, 17, 40])
def test_lengths_give_the_counts_that_were_measured(tmp_path_factory: pytest.TempPathFactory, prompt: int) -> None:
    folder = write_tiny_model(tmp_path_factory.mktemp("model"), max_position_embeddings=128)
    model = load_model(str(folder), dtype="float32", device="cpu")
    engine = TorchEngine(model, sampling=Sampling(1.0, 1.0), length_cap=100, memory_budget=1 << 24)
    jobs = [Job("t", "p", tuple(range(3, 3 + prompt)), {0: 100, 1: 60, 2: prompt + 1, 3: prompt + 16})]
    chains = list(engine.generate(jobs))
    assert len(chains) == 4
    for chain in chains:
        counts = from_lengths(prompt, len(chain.tokens), model.spec.layers * model.spec.kv_heads)
        for name in counts._fields:
            np.testing.assert_array_equal(getattr(counts, name), getattr(chain, name), err_msg=name)
        assert chain.accounting == "measured"
        assert chain.device_bytes is not None
        assert chain.device_bytes > 10_000_000


def test_blocks_of_a_server_that_shares_less() -> None:
    """Blocks of 4 tokens, a prompt of 8 of which only the first block is shared: written out by hand."""
    counts = from_lengths(8, 5, rows=1, block_size=4, shared=7)
    assert counts.step_reads.tolist() == [9, 10, 11, 12, 13]
    assert counts.step_pages.tolist() == [2, 2, 2, 2, 3]
    assert counts.page_shared.tolist() == [5, 0]
