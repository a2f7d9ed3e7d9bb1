"""The path that decodes in earnest, paged rows and the compiled kernel, against transformers on a real model."""

from __future__ import annotations

import numpy as np
import torch
from transformers import PreTrainedModel

from hyperscale.attention.base import decode_attention
from hyperscale.backends.meter import Meter
from hyperscale.backends.rows import Rows, pages_for
from hyperscale.backends.vanilla import Vanilla
from hyperscale.model.chat import encode_prompt
from hyperscale.model.load import Model

TEXT = "Write down the numbers from one to forty in words, each with its square, and say which of them are prime."


@torch.inference_mode()
def test_paged_decode_gives_the_logits_of_transformers(smollm2: Model, smollm2_reference: PreTrainedModel) -> None:
    tokens = torch.tensor(encode_prompt(smollm2.tokenizer, TEXT))
    expected = smollm2_reference(tokens[None]).logits[0]
    spec, split = smollm2.spec, len(tokens) // 2
    rows = Rows(
        layers=spec.layers, kv_heads=spec.kv_heads, head_dim=spec.head_dim, slots=1, max_length=len(tokens),
        pages=spec.layers * spec.kv_heads * pages_for(len(tokens) + 1), dtype=torch.float32, device=torch.device("cpu"),
    )  # fmt: skip
    backend = Vanilla(rows, Meter(rows, 1), decode_attention(rows, spec.heads))
    slot = rows.open()
    slots = np.array([slot])
    x_td = smollm2.decoder.hidden(
        tokens[:split], torch.arange(split), lambda layer, q, k, v: backend.prefill(layer, slot, q, k, v)
    )
    logits = [smollm2.decoder.logits(x_td)]
    for t in range(split, len(tokens)):
        x_1d = smollm2.decoder.hidden(
            tokens[t : t + 1], torch.tensor([t]), lambda layer, q, k, v: backend.decode(layer, slots, q, k, v)
        )
        logits.append(smollm2.decoder.logits(x_1d))
    assert (torch.cat(logits) - expected).abs().max() <= 1e-4
