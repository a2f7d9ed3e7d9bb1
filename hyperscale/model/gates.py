"""Gates of a layer: decisions from a component of its queries and keys, or from a small projection."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hyperscale.model.layers import linear, rms_norm
from hyperscale.model.spec import GateSpec, ModelSpec


class Gate(nn.Module):
    """One layer's gate, differentiable; `GateSpec` lists its forms."""

    def __init__(self, spec: ModelSpec, gates: GateSpec) -> None:
        super().__init__()
        self.spec, self.heads, self.kv_heads, self.eps = gates, spec.heads, spec.kv_heads, spec.norm_eps
        self.group = spec.heads // spec.kv_heads
        self.kept = 0.0
        """Share of a borrowed component in attention; above 0 only while a retrofit fades it out."""
        separate, learned = gates.form == "separate", gates.learned
        self.norm = nn.Parameter(torch.empty(spec.hidden)) if separate else None
        self.projection = nn.Parameter(torch.empty(spec.kv_heads, spec.hidden)) if learned else None
        self.projection_bias = nn.Parameter(torch.empty(spec.kv_heads)) if learned and gates.linear_bias else None

    def forward(
        self, x_nd: Tensor, normed_nd: Tensor, qk_nhd: Tensor, cos_n1d: Tensor, sin_n1d: Tensor
    ) -> tuple[Tensor, ...]:
        """Return float32 logits_nk for attention; a token is evicted iff its logit is above 0.

        `x_nd` is the residual stream, `normed_nd` the attention's input, `qk_nhd` all queries and keys before RoPE.
        DMC merges keys before RoPE, at the newest one's position, so it gets decision_nk, importance_nk, unrotated
        k_nkd, cos_n1d and sin_n1d.
        """
        if self.spec.form == "dmc":
            q_nhd, k_nkd = qk_nhd.split((self.heads, self.kv_heads), dim=1)
            raw_nk = q_nhd[..., -1].float().unflatten(1, (self.kv_heads, self.group)).mean(-1)
            # The scale lets decisions follow a small learning rate. Importances would saturate under it, and a mean
            # would be that of one token; they start near 1 anyway, and the paper has no scale.
            importance_nk = raw_nk - self.spec.bias
            unrotated_nkd = self.mute(qk_nhd)[:, self.heads :]
            return self._logits(k_nkd[..., -1]), importance_nk, unrotated_nkd, cos_n1d, sin_n1d
        return (self._logits(self._raw(x_nd, normed_nd, qk_nhd)),)

    def mute(self, qk_nhd: Tensor) -> Tensor:
        """Return queries and keys with their borrowed components times `kept`, by default 0."""
        if self.spec.form == "borrowed":
            heads, dim = slice(0, self.heads, self.group), self.spec.borrowed_dim
        elif self.spec.form == "dmc":
            heads, dim = slice(None), -1
        else:
            return qk_nhd
        qk_nhd = qk_nhd.clone()
        qk_nhd[:, heads, dim] = qk_nhd[:, heads, dim] * self.kept if self.kept else 0
        return qk_nhd

    def _raw(self, x_nd: Tensor, normed_nd: Tensor, qk_nhd: Tensor) -> Tensor:
        if self.projection is None:
            return qk_nhd[:, : self.heads : self.group, self.spec.borrowed_dim]
        source_nd = normed_nd if self.norm is None else rms_norm(x_nd, self.norm, self.eps)
        return linear(source_nd, self.projection, self.projection_bias)

    def _logits(self, raw_nk: Tensor) -> Tensor:
        if self.spec.per_layer:
            raw_nk = raw_nk[:, :1].expand(-1, self.kv_heads)
        return self.spec.scale * raw_nk.float() + self.spec.bias
