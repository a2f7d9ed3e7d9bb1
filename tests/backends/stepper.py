"""A model over a backend without an engine: the logits of every step."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from hyperscale.attention.base import decode_attention
from hyperscale.backends import backend_class
from hyperscale.backends.base import Backend, Parts
from hyperscale.kvcache.block_table import Rows, pages_for
from hyperscale.kvcache.meter import Meter, StepCounts
from hyperscale.model.load import Model


def new_backend(model: Model, name: str, settings: Any = None, max_length: int = 64, slots: int = 3) -> Backend:
    spec = model.spec
    pages = spec.layers * spec.kv_heads * slots * (pages_for(max_length) + 1)
    rows = Rows(
        layers=spec.layers, kv_heads=spec.kv_heads, head_dim=spec.head_dim, slots=slots, max_length=max_length,
        pages=pages, dtype=model.decoder.embed.dtype, device=torch.device("cpu"),
    )  # fmt: skip
    attention = decode_attention(rows, spec.heads)
    return backend_class(name)(Parts(rows, Meter(rows, slots), attention, None, spec.gates), settings)


@torch.inference_mode()
def step_logits(model: Model, backend: Backend, tokens: Tensor, prompt: int) -> tuple[Tensor, StepCounts]:
    """logits_tv of a sequence whose first `prompt` tokens are prefilled, and the counts of its last step."""
    decoder, positions, slot = model.decoder, torch.arange(len(tokens)), backend.rows.open()
    slots = np.array([slot])
    backend.begin(slot, 0)
    x_td = decoder.hidden(
        tokens[:prompt], positions[:prompt], lambda i, *x: backend.prefill(i, slot, *x), backend.gated
    )
    logits = [decoder.logits(x_td)]
    for t in range(prompt, len(tokens)):
        here = slice(t, t + 1)
        backend.meter.take(slots)
        x_1d = decoder.hidden(tokens[here], positions[here], lambda i, *x: backend.decode(i, slots, *x), backend.gated)
        logits.append(decoder.logits(x_1d))
    counts = backend.meter.take(slots)
    backend.rows.close(slot)
    return torch.cat(logits), counts
