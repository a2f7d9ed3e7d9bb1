"""The engine's decode path, block table and compiled kernel, against transformers on a real model."""

from __future__ import annotations

import numpy as np
import torch
from transformers import PreTrainedModel

from hyperscale.attention.base import decode_attention
from hyperscale.attention.prompt import causal_attention
from hyperscale.backends.base import PolicyContext
from hyperscale.backends.vanilla import Vanilla
from hyperscale.kvcache.block_pool import blocks_for
from hyperscale.kvcache.block_table import BlockTable
from hyperscale.kvcache.meter import Meter
from hyperscale.model.chat import encode_prompt
from hyperscale.model.load import Model

TEXT = "Write the numbers from one to forty in words."


@torch.inference_mode()
def test_paged_decode_gives_the_logits_of_transformers(smollm2: Model, smollm2_reference: PreTrainedModel) -> None:
    tokens = torch.tensor(encode_prompt(smollm2.tokenizer, TEXT))
    expected = smollm2_reference(tokens[None]).logits[0]
    spec, decoder, split = smollm2.spec, smollm2.decoder, len(tokens) // 2
    table = BlockTable(
        layers=spec.layers, kv_heads=spec.kv_heads, head_dim=spec.head_dim, seqs=1, max_length=len(tokens),
        blocks=spec.layers * spec.kv_heads * blocks_for(len(tokens) + 1), dtype=torch.float32,
        device=torch.device("cpu"),
    )  # fmt: skip
    backend = Vanilla(PolicyContext(table, Meter(table, 1), decode_attention(table, spec.heads)))
    seq = table.open()
    seqs, positions = np.array([seq]), torch.arange(len(tokens))
    x_td = decoder.hidden(tokens[:split], positions[:split], lambda i, q, k, v: backend.prefill(i, seq, q, k, v))
    logits = [decoder.logits(x_td)]
    for t in range(split, len(tokens)):
        here = slice(t, t + 1)
        x_1d = decoder.hidden(tokens[here], positions[here], lambda i, q, k, v: backend.decode(i, seqs, q, k, v))
        logits.append(decoder.logits(x_1d))
    deviation_t = (torch.cat(logits) - expected).abs().amax(-1)
    # What to look at should this fail: which of the three moved, and from which token on.
    dense = decoder.logits(decoder.hidden(tokens, positions, lambda _, q, k, v: causal_attention(q, k, v)))
    again = smollm2_reference(tokens[None]).logits[0]
    assert deviation_t.max() <= 1e-4, (
        f"by token {deviation_t}; our dense pass is {(dense - expected).abs().max():.2e} from transformers, "
        f"a second pass of transformers {(again - expected).abs().max():.2e} from its first"
    )
