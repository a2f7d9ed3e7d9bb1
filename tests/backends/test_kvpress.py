"""Our TOVA against kvpress' on the same weights.

The record was made by benchmarks/kvpress_tova.py, which says where the two differ. kvpress needs an older transformers
than we do; so what it did is kept in kvpress_tova.json.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from hyperscale.attention.cpu import CpuAttention
from hyperscale.backends.base import PolicyContext
from hyperscale.backends.bounded import Protection
from hyperscale.backends.tova import Tova
from hyperscale.kvcache.block_pool import blocks_for
from hyperscale.kvcache.block_table import BlockTable
from hyperscale.kvcache.meter import Meter
from hyperscale.model.load import load_model
from tests.tiny_models import write_tiny_model

RECORD = json.loads((Path(__file__).parent / "kvpress_tova.json").read_text())


class Run:
    """One sequence through a tiny model and TOVA that keeps its newest token."""

    def __init__(self, folder: Path) -> None:
        model = load_model(str(write_tiny_model(folder, "llama", seed=3)), dtype="float32", device="cpu")
        spec, budget = model.spec, RECORD["budget"]
        self.decoder, self.layers, self.budget = model.decoder, spec.layers, budget
        table = BlockTable(
            layers=spec.layers, kv_heads=spec.kv_heads, head_dim=spec.head_dim, seqs=1, max_length=budget,
            blocks=spec.layers * spec.kv_heads * blocks_for(budget), dtype=torch.float32, device=torch.device("cpu"),
        )  # fmt: skip
        context = PolicyContext(table, Meter(table, 1), CpuAttention(table, spec.heads), budget)
        self.tova, self.seqs = Tova(context, Protection(recent_window=2)), np.array([table.open()])
        self.tova.begin(0, key=0)
        self.tokens_t = torch.tensor(RECORD["tokens"])
        self.length = 0

    @torch.inference_mode()
    def feed(self, tokens: int, attend) -> torch.Tensor:
        at = slice(self.length, self.length + tokens)
        self.length += tokens
        positions = torch.arange(at.start, at.stop)
        return self.decoder.logits(self.decoder.hidden(self.tokens_t[at], positions, attend))[-1]

    def prefill(self, tokens: int) -> torch.Tensor:
        return self.feed(tokens, lambda layer, *qkv: self.tova.prefill(layer, 0, *qkv))

    def decode(self) -> torch.Tensor:
        return self.feed(1, lambda layer, *qkv: self.tova.decode(layer, self.seqs, *qkv))

    def given_up(self, layer: int) -> int:
        """The position that the next token will overwrite, in every KV head."""
        victims = set(self.tova.victims[layer, 0].tolist())
        assert len(victims) == 1
        return int(self.tova.positions[layer, 0, 0, victims.pop()])


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_every_token_dropped_while_decoding_is_kvpresss(run):
    run.prefill(RECORD["prompt"])
    given_up: list[list[int]] = [[] for _ in range(run.layers)]
    while run.length < len(run.tokens_t):
        logits_v = run.decode()
        if run.length >= run.budget:
            for layer in range(run.layers):
                given_up[layer].append(run.given_up(layer))
    assert given_up == RECORD["dropped_while_decoding"]
    np.testing.assert_allclose(logits_v[:8].numpy(), RECORD["last_logits"], atol=1e-4)


def test_a_prompt_one_token_too_long_loses_the_token_that_kvpress_drops(run):
    run.prefill(run.budget)
    assert [[run.given_up(layer)] for layer in range(run.layers)] == RECORD["dropped_from_a_prompt_of_the_budget"]
