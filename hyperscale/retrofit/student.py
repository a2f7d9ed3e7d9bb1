"""The student: a decoder with gates, the choice of trained weights, and fading of borrowed neurons."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from hyperscale.model.decoder import Attend, Decoder, Layer
from hyperscale.model.spec import GateSpec


class Student(nn.Module):
    """The decoder as one module per batch, so that FSDP wraps the whole forward pass."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(
        self, tokens_n: Tensor, positions_n: Tensor, counted_n: Tensor, attend: Attend, gated: bool = True
    ) -> Tensor:
        """Return float32 logits of the counted tokens."""
        return self.decoder.logits(self.decoder.hidden(tokens_n, positions_n, attend, gated)[counted_n])


def with_gates(original: Decoder, gates: GateSpec) -> Decoder:
    """Copy a decoder and add gates: projections 0, norms 1, so that every logit starts at the bias."""
    with torch.device("meta"):
        decoder = Decoder(replace(original.spec, gates=gates))
    decoder = decoder.to(original.embed.dtype).to_empty(device=original.embed.device)
    weights = original.state_dict()
    for name, parameter in decoder.named_parameters():
        with torch.no_grad():
            if name in weights:
                parameter.copy_(weights[name])
            else:
                parameter.fill_(1.0 if name.endswith("gate.norm") else 0.0)
    return decoder


def layers_of(decoder: Decoder) -> list[Layer]:
    """Return the decoder's layers, typed."""
    return [layer for layer in decoder.layers if isinstance(layer, Layer)]


def choose_trained(decoder: Decoder, train: str) -> None:
    """Train all weights, or only those of the gates."""
    for name, parameter in decoder.named_parameters():
        parameter.requires_grad_(train == "all" or ".gate." in name)


def fade(decoder: Decoder, kept: float) -> None:
    """Set the share of borrowed components in attention (App. C)."""
    for layer in layers_of(decoder):
        assert layer.gate is not None
        layer.gate.kept = kept


@torch.no_grad()
def clear_borrowed(decoder: Decoder) -> None:
    """Zero the weights of borrowed neurons, so that every logit starts at the bias.

    They no longer take part in attention by then, only in the norm of their head, if it has one.
    """
    spec, gates = decoder.spec, decoder.spec.gates
    assert gates is not None
    if gates.learned:
        return
    if gates.form == "dmc":
        rows = [(head + 1) * spec.head_dim - 1 for head in range(spec.heads + spec.kv_heads)]
    else:
        group = spec.heads // spec.kv_heads
        rows = [head * spec.head_dim + gates.borrowed_dim % spec.head_dim for head in range(0, spec.heads, group)]
    for layer in layers_of(decoder):
        for weight in (layer.qkv, layer.qkv_bias):
            if weight is not None:
                weight[rows] = 0
