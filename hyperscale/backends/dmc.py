"""DMC (Dynamic Memory Compression): a token is merged into its row's newest place, or gets a place of its own.

Nawrot et al., "Dynamic Memory Compression: Retrofitting LLMs for Accelerated Inference", ICML 2024, arXiv 2403.09636,
as in Megatron-LM's `dmc` code. A trained neuron of the key decides for each KV head (above 0: merge), one of the
queries gives the token's importance. A place holds the mean of its tokens' keys and values, weighted by importance.

Keys are averaged before RoPE, and the mean is rotated to the position of the place's newest token; so beside the rows
the sums of each row's newest place are kept in fp32: as much memory as a token or two a row. The mean runs over all
tokens of a place, as in the paper; the released code, which trains with a window of 12, by default also decodes with
means of a place's last 12 tokens at most.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hyperscale.attention.prompt import causal_attention
from hyperscale.backends.base import Backend, PolicyContext
from hyperscale.model.spec import GATES, KEY, GateSpec

LEAST = 2.0**-7
"""Added to every importance, as in the released code, so that no weight vanishes."""

CHUNK = 512
"""Queries of a prompt attended together; bounds the memory of scores."""


class Decided(NamedTuple):
    """Outputs of a gate of form "dmc"; see `Gate.forward`."""

    decision_nk: Tensor
    importance_nk: Tensor
    unrotated_nkd: Tensor
    cos_n1d: Tensor
    sin_n1d: Tensor

    @property
    def weight_nk1(self) -> Tensor:
        """Weight of each token in the mean of its place."""
        # In double precision: fp32 may round otherwise in another batch.
        return (self.importance_nk.double().sigmoid() + LEAST).float()[..., None]

    def rotated(self, mean_nkd: Tensor) -> Tensor:
        """Rotate means to their newest token's position; the borrowed dimension stays 0."""
        turned_nkd = mean_nkd.roll(mean_nkd.shape[-1] // 2, dims=-1)
        k_nkd = mean_nkd * self.cos_n1d.float() + turned_nkd * self.sin_n1d.float()
        k_nkd[..., -1] = 0
        return k_nkd


class DMC(Backend):
    """Merge by the gates. State: sums of weights, and of weighted keys and values, of each row's newest place."""

    name = "dmc"
    frees = "the places of tokens that its gates merge into the one before (needs a checkpoint with gates of DMC)"
    gated = True
    whole_prompt = True

    def __init__(self, context: PolicyContext, settings: Any = None) -> None:
        super().__init__(context, settings)
        self.check_gates(context.gates)
        table, shape = self.table, self.table.lengths.shape
        self._weights = torch.zeros(*shape, 1, device=table.device)
        self._keys = torch.zeros(*shape, table.head_dim, device=table.device)
        self._values = torch.zeros(*shape, table.head_dim, device=table.device)

    @classmethod
    def check_gates(cls, gates: GateSpec | None) -> None:
        """Raise ValueError if the checkpoint was not trained to merge."""
        if gates is None or gates.form != "dmc":
            raise ValueError(
                "the dmc backend merges what a model's gates say: use a checkpoint folder retrofitted with DMC, and a "
                f'{GATES} in it (or {KEY} in config.json) that says {{"form": "dmc"}}'
            )

    @classmethod
    def expectation(cls, gates: GateSpec | None, settings: Any) -> Callable[[int], int] | None:
        """Expect 1 / ratio of the tokens."""
        if gates is None or gates.ratio is None:
            return None
        ratio = gates.ratio
        return lambda length: math.ceil(length / ratio)

    def fork(self, source: int, seq: int, key: int) -> None:
        """Copy the sums of the newest places."""
        for kept in (self._weights, self._keys, self._values):
            kept[:, seq] = kept[:, source]

    def row_range(self, tokens: int) -> tuple[int, int]:
        """Count one place at least, as many as tokens at most."""
        return 1, tokens

    def assume(self, seqs: NDArray[np.int64], tokens: int) -> None:
        """Have one token in each row's newest place."""
        at = torch.from_numpy(seqs).to(self.table.device)
        self._weights[:, at] = 1.0
        for layer in range(self.table.layers):
            for kept in (self._keys, self._values):
                kept[layer, at] = torch.randn_like(kept[layer, at])

    def prefill(self, layer: int, seq: int, q_thd: Tensor, k_tkd: Tensor, v_tkd: Tensor, *gates: Tensor) -> Tensor:
        """Attend the whole prompt as decode does: each query sees the places as they stood at its own token."""
        decided = Decided(*gates)
        merge_tk = (decided.decision_nk > 0).cpu().numpy()
        merge_tk[0] = False
        weight_tk1 = decided.weight_nk1
        place_tk = np.cumsum(~merge_tk, axis=0) - 1
        tokens_t1 = np.arange(len(merge_tk))[:, None]
        first_tk = torch.from_numpy(np.maximum.accumulate(np.where(merge_tk, 0, tokens_t1))).to(k_tkd.device)
        sums = [
            _sums(x_tkx, first_tk) for x_tkx in (weight_tk1, weight_tk1 * decided.unrotated_nkd, weight_tk1 * v_tkd)
        ]
        for kept, sum_tkx in zip((self._weights, self._keys, self._values), sums, strict=True):
            kept[layer, seq] = sum_tkx[-1]
        weights_tk1, keys_tkd, values_tkd = sums
        merge = torch.from_numpy(merge_tk[..., None]).to(k_tkd.device)
        means_k, means_v = decided.rotated(keys_tkd / weights_tk1), values_tkd / weights_tk1
        stood_k_tkd = torch.where(merge, means_k.to(k_tkd.dtype), k_tkd)
        stood_v_tkd = torch.where(merge, means_v.to(v_tkd.dtype), v_tkd)
        for head in range(self.table.kv_heads):
            last = torch.from_numpy(_last(place_tk[:, head])).to(k_tkd.device)
            self.table.fill(layer, seq, head, stood_k_tkd[last, head], stood_v_tkd[last, head])
        if not merge_tk.any():
            return causal_attention(q_thd, k_tkd, v_tkd)
        return merged_attention(q_thd, stood_k_tkd, stood_v_tkd, place_tk)

    def decode(
        self, layer: int, seqs: NDArray[np.int64], q_nhd: Tensor, k_nkd: Tensor, v_nkd: Tensor, *gates: Tensor
    ) -> Tensor:
        """Merge the token into the newest place, or append it; attend the whole row."""
        decided = Decided(*gates)
        lengths_nk = self.table.lengths[layer, seqs]
        merge_nk = (decided.decision_nk > 0).cpu().numpy()
        at = torch.from_numpy(seqs).to(k_nkd.device)
        merge_nk1 = torch.from_numpy(merge_nk[..., None]).to(k_nkd.device)
        weight_nk1 = decided.weight_nk1
        new = (weight_nk1, weight_nk1 * decided.unrotated_nkd, weight_nk1 * v_nkd)
        sums = []
        for kept, x in zip((self._weights, self._keys, self._values), new, strict=True):
            sums.append(torch.where(merge_nk1, kept[layer, at] + x, x.float()))
            kept[layer, at] = sums[-1]
        weights_nk1, keys_nkd, values_nkd = sums
        # A token that is alone in its place is stored as it is.
        means_k, means_v = decided.rotated(keys_nkd / weights_nk1), values_nkd / weights_nk1
        k_nkd = torch.where(merge_nk1, means_k.to(k_nkd.dtype), k_nkd)
        v_nkd = torch.where(merge_nk1, means_v.to(v_nkd.dtype), v_nkd)
        self.table.put(layer, seqs, lengths_nk - merge_nk, k_nkd, v_nkd)
        return self.attend(layer, seqs, q_nhd)


def merged_attention(q_thd: Tensor, k_tkd: Tensor, v_tkd: Tensor, place_tk: NDArray[np.int64]) -> Tensor:
    """Attend t queries to the places before their token's, as they ended, and to its own, as it stood (k_tkd, v_tkd).

    Returns out_thd.
    """
    tokens, kv_heads = place_tk.shape
    group = q_thd.shape[1] // kv_heads
    out_thd = torch.empty_like(q_thd)
    for head in range(kv_heads):
        heads = slice(head * group, (head + 1) * group)
        last = torch.from_numpy(_last(place_tk[:, head])).to(q_thd.device)
        place_t = torch.from_numpy(place_tk[:, head]).to(q_thd.device)
        k_td, v_td = k_tkd[:, head].float(), v_tkd[:, head].float()
        for start in range(0, tokens, CHUNK):
            here = slice(start, min(start + CHUNK, tokens))
            ended = last[: place_tk[here.stop - 1, head]]
            q_tgd = q_thd[here, heads].float() / math.sqrt(q_thd.shape[-1])
            before_tgs = torch.einsum("tgd,sd->tgs", q_tgd, k_td[ended])
            later_ts = torch.arange(len(ended), device=q_thd.device) >= place_t[here, None]
            own_tg1 = torch.einsum("tgd,td->tg", q_tgd, k_td[here])[..., None]
            scores = torch.cat([before_tgs.masked_fill(later_ts[:, None], -torch.inf), own_tg1], dim=-1)
            weights = scores.softmax(-1)
            mixed = weights[..., :-1] @ v_td[ended] + weights[..., -1:] * v_td[here, None]
            out_thd[here, heads] = mixed.to(q_thd.dtype)
    return out_thd


def _last(place_t: NDArray[np.int64]) -> NDArray[np.int64]:
    """Find the newest token of each place."""
    return np.flatnonzero(np.append(np.diff(place_t) > 0, True))


def _sums(x_tkx: Tensor, first_tk: Tensor) -> Tensor:
    """Sum over each place up to each token, in fp32; `first_tk` is the first token of a token's place."""
    # Differences of sums over the whole prompt: double precision leaves fp32 of them.
    x_tkx = x_tkx.double()
    total_tkx = x_tkx.cumsum(0)
    before_tkx = (total_tkx - x_tkx).gather(0, first_tk[..., None].expand_as(total_tkx))
    return (total_tkx - before_tkx).float()
