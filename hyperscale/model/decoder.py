"""One decoder for Llama, Mistral, Qwen2 and Qwen3; prefill, decode and training pass their attention in.

Suffixes name a tensor's axes: n tokens of any mix of sequences, in flat order; d hidden size, or head
dimension after a head axis; h query heads; k KV heads; v vocabulary; f rotary frequencies.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from hyperscale.model.gates import Gate
from hyperscale.model.layers import linear, rms_norm
from hyperscale.model.spec import ModelSpec

Attend = Callable[..., Tensor]
"""(layer, q_nhd, k_nkd, v_nkd) -> out_nhd. q and k are rotated. All are views, not contiguous.

If gated, the tensors that `Gate.forward` returns follow v_nkd."""


def _weight(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.empty(shape))


def _optional(present: bool, *shape: int) -> nn.Parameter | None:
    return _weight(*shape) if present else None


class Layer(nn.Module):
    """One transformer block. Projections that share their input are one matrix: q, k, v and gate, up."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = spec.heads, spec.kv_heads, spec.head_dim
        self.eps = spec.norm_eps
        attended = spec.heads * spec.head_dim
        projected = (spec.heads + 2 * spec.kv_heads) * spec.head_dim
        self.attn_norm = _weight(spec.hidden)
        self.qkv = _weight(projected, spec.hidden)
        self.qkv_bias = _optional(spec.qkv_bias, projected)
        self.q_norm = _optional(spec.qk_norm, spec.head_dim)
        self.k_norm = _optional(spec.qk_norm, spec.head_dim)
        self.out = _weight(spec.hidden, attended)
        self.out_bias = _optional(spec.out_bias, spec.hidden)
        self.ffn_norm = _weight(spec.hidden)
        self.gate_up = _weight(2 * spec.ffn, spec.hidden)
        self.gate_up_bias = _optional(spec.ffn_bias, 2 * spec.ffn)
        self.down = _weight(spec.hidden, spec.ffn)
        self.down_bias = _optional(spec.ffn_bias, spec.hidden)
        self.gate = None if spec.gates is None else Gate(spec, spec.gates)

    def forward(
        self, x_nd: Tensor, cos_n1d: Tensor, sin_n1d: Tensor, attend: Attend, index: int, gated: bool = False
    ) -> Tensor:
        """Return x_nd after this block; attention is `attend(index, ...)`, with the gate's decisions if `gated`."""
        normed_nd = rms_norm(x_nd, self.attn_norm, self.eps)
        qkv_nhd = linear(normed_nd, self.qkv, self.qkv_bias).view(x_nd.shape[0], -1, self.head_dim)
        qk_nhd, v_nkd = qkv_nhd.split((self.heads + self.kv_heads, self.kv_heads), dim=1)
        if self.q_norm is not None:
            qk_nhd = self._norm_heads(qk_nhd)
        decisions: tuple[Tensor, ...] = ()
        if self.gate is None:
            qk_nhd = rotate(qk_nhd, cos_n1d, sin_n1d)
        else:
            if gated:
                decisions = self.gate(x_nd, normed_nd, qk_nhd, cos_n1d, sin_n1d)
            # RoPE rotates pairs of components, so a muted one is no longer 0 after it.
            qk_nhd = self.gate.mute(rotate(self.gate.mute(qk_nhd), cos_n1d, sin_n1d))
        q_nhd, k_nkd = qk_nhd.split((self.heads, self.kv_heads), dim=1)
        attended_nd = attend(index, q_nhd, k_nkd, v_nkd, *decisions).reshape(x_nd.shape[0], -1)
        x_nd = x_nd + linear(attended_nd, self.out, self.out_bias)
        normed_nd = rms_norm(x_nd, self.ffn_norm, self.eps)
        gate, up = linear(normed_nd, self.gate_up, self.gate_up_bias).chunk(2, dim=-1)
        return x_nd + linear(F.silu(gate) * up, self.down, self.down_bias)

    def _norm_heads(self, qk_nhd: Tensor) -> Tensor:
        q_nhd, k_nkd = qk_nhd.split((self.heads, self.kv_heads), dim=1)
        shape = (self.head_dim,)
        assert self.q_norm is not None
        assert self.k_norm is not None
        # Under autocast weights are float32 and products bfloat16; a norm of mixed types takes a slow path.
        q_nhd = F.rms_norm(q_nhd, shape, self.q_norm.to(q_nhd.dtype), self.eps)
        return torch.cat((q_nhd, F.rms_norm(k_nkd, shape, self.k_norm.to(k_nkd.dtype), self.eps)), dim=1)


def rotate(x_nhd: Tensor, cos_n1d: Tensor, sin_n1d: Tensor) -> Tensor:
    """Apply RoPE to all heads; the first half of `sin_n1d` is negated, so that x need not be."""
    return torch.addcmul(x_nhd * cos_n1d, x_nhd.roll(x_nhd.shape[-1] // 2, dims=-1), sin_n1d)


class Decoder(nn.Module):
    """Decoder-only transformer: token ids and positions to logits. `weights.fill` initialises its parameters."""

    frequencies_f: Tensor

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.embed = _weight(spec.vocab, spec.hidden)
        self.layers = nn.ModuleList(Layer(spec) for _ in range(spec.layers))
        self.norm = _weight(spec.hidden)
        self.unembed = _optional(not spec.tied, spec.vocab, spec.hidden)
        self.recompute = False
        """Activation checkpointing in training: keep each layer's input, recompute the layer in the backward pass."""
        # Not a buffer: `.to(bfloat16)` must not round the angles.
        self.frequencies_f = torch.tensor(spec.rope_frequencies, dtype=torch.float32, device="cpu")

    def hidden(self, tokens_n: Tensor, positions_n: Tensor, attend: Attend, gated: bool = False) -> Tensor:
        """Return x_nd after the final norm; `positions_n` counts from 0 within each sequence.

        `gated` passes the gates' decisions to attention; the model must have gates.
        """
        assert not gated or self.spec.gates is not None
        x_nd = F.embedding(tokens_n, self.embed)
        cos_n1d, sin_n1d = self._angles(positions_n, x_nd.dtype)
        for index, layer in enumerate(self.layers):
            inputs = x_nd, cos_n1d, sin_n1d, attend, index, gated
            x_nd = checkpoint(layer, *inputs, use_reentrant=False) if self.recompute else layer(*inputs)
        return rms_norm(x_nd, self.norm, self.spec.norm_eps)

    def logits(self, x_nd: Tensor) -> Tensor:
        """Return float32 logits_nv of final hidden states."""
        return linear(x_nd, self.embed if self.unembed is None else self.unembed).float()

    def _angles(self, positions_n: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        if self.frequencies_f.device != positions_n.device:
            self.frequencies_f = self.frequencies_f.to(positions_n.device)
        angles_n1f = (positions_n.float()[:, None] * self.frequencies_f)[:, None]
        cos_n1f = angles_n1f.cos() * self.spec.rope_magnitude
        sin_n1f = angles_n1f.sin() * self.spec.rope_magnitude
        return torch.cat((cos_n1f, cos_n1f), -1).to(dtype), torch.cat((-sin_n1f, sin_n1f), -1).to(dtype)
