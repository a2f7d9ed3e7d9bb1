"""A model over a backend without an engine: the logits of every step."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from hyperscale.attention.base import decode_attention
from hyperscale.backends import backend_class
from hyperscale.backends.base import Backend, PolicyContext
from hyperscale.kvcache.block_pool import blocks_for
from hyperscale.kvcache.block_table import BlockTable
from hyperscale.kvcache.meter import Meter, StepCounts
from hyperscale.model.load import Model


def new_backend(model: Model, name: str, settings: Any = None, max_length: int = 64, seqs: int = 3) -> Backend:
    spec = model.spec
    blocks = spec.layers * spec.kv_heads * seqs * (blocks_for(max_length) + 1)
    table = BlockTable(
        layers=spec.layers, kv_heads=spec.kv_heads, head_dim=spec.head_dim, seqs=seqs, max_length=max_length,
        blocks=blocks, dtype=model.decoder.embed.dtype, device=torch.device("cpu"),
    )  # fmt: skip
    attention = decode_attention(table, spec.heads)
    return backend_class(name)(PolicyContext(table, Meter(table, seqs), attention, None, spec.gates), settings)


@torch.inference_mode()
def step_logits(model: Model, backend: Backend, tokens: Tensor, prompt: int) -> tuple[Tensor, StepCounts]:
    """logits_tv of a sequence whose first `prompt` tokens are prefilled, and the counts of its last step."""
    decoder, positions, seq = model.decoder, torch.arange(len(tokens)), backend.table.open()
    seqs = np.array([seq])
    backend.begin(seq, 0)
    x_td = decoder.hidden(tokens[:prompt], positions[:prompt], lambda i, *x: backend.prefill(i, seq, *x), backend.gated)
    logits = [decoder.logits(x_td)]
    for t in range(prompt, len(tokens)):
        here = slice(t, t + 1)
        backend.meter.take(seqs)
        x_1d = decoder.hidden(tokens[here], positions[here], lambda i, *x: backend.decode(i, seqs, *x), backend.gated)
        logits.append(decoder.logits(x_1d))
    counts = backend.meter.take(seqs)
    backend.table.close(seq)
    return torch.cat(logits), counts
