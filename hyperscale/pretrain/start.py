"""Initial weights: random, except for one circuit of induction heads.

In-context look-ups (given `c= f +3` in the prompt, write `f` after `c=`) need an induction circuit: a previous-token
head, and a head in a later layer that finds an earlier occurrence of the current token and copies the token after it.
From random weights it forms suddenly, after millions of look-ups (Olsson et al. 2022, "In-context Learning and
Induction Heads"). Here both heads exist in rough form from the first step, and all weights train from there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hyperscale.pretrain.recipe import Recipe

if TYPE_CHECKING:
    from transformers import Qwen3ForCausalLM

_CONSTANT = 0.7
"""Common component of all embeddings, as a share of their mean norm: what positional heads attend by."""
_POSITIONAL = 3.0
_PLANES = (1.0, 1.0, 0.7, 0.5)
"""Weights of the fastest rotary planes in the previous-token heads."""
_COPIED = 0.2
_SLOW = 0.012
"""Content is matched in rotary planes slower than this (radians per token). The fastest of them turns by 3 radians in
512 tokens: the untrained match is .95 at short distance and about half at 256 tokens; training corrects that."""
_QUIET = 0.1


@torch.no_grad()
def make_start(recipe: Recipe) -> Qwen3ForCausalLM:
    """Make the untrained model in float32; the seed determines every weight."""
    from transformers import Qwen3ForCausalLM

    model = Qwen3ForCausalLM(recipe.config()).float()
    generator = torch.Generator().manual_seed(recipe.seed)
    for name, weight in model.named_parameters():
        if name.endswith(("q_norm.weight", "k_norm.weight")):
            weight.fill_(recipe.qk_gain)
        elif weight.ndim == 2:
            weight.normal_(0, recipe.hidden**-0.5 if "embed" in name else weight.shape[1] ** -0.5, generator=generator)
        # Blocks write little to the residual stream at first, so that the circuit stands out.
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            weight.mul_(_QUIET * (2 * recipe.layers) ** -0.5)
    _put_induction(model, recipe, generator)
    return model


def _put_induction(model: Qwen3ForCausalLM, recipe: Recipe, generator: torch.Generator) -> None:
    """Write the circuit: layer 0 attends one and two tokens back, a head of layer 1 matches and copies."""
    first, second = (layer.self_attn for layer in model.model.layers[:2])
    dim = recipe.head_dim
    common_1d, seen_hd, written_hd, copied_hd = _directions(recipe, generator)

    embed = model.model.embed_tokens.weight
    size = embed.norm(dim=1).mean()
    embed.sub_(embed @ common_1d.T @ common_1d).add_(common_1d * size * _CONSTANT)

    # Queries and keys are the same for every token; RoPE rotates them, and a phase makes one distance the best.
    turns_f = recipe.rope_theta ** (-torch.arange(dim // 2) / (dim // 2))
    phases_f = torch.rand(dim // 2, generator=generator) * 2 * torch.pi
    weights_f = torch.zeros(dim // 2)
    weights_f[: len(_PLANES)] = torch.tensor(_PLANES)

    def pointing(back: int) -> Tensor:
        angles_f = phases_f - back * turns_f
        planes_d = torch.cat((weights_f * angles_f.cos(), weights_f * angles_f.sin()))
        return _POSITIONAL * torch.outer(planes_d, common_1d[0])

    for head in range(recipe.heads // recipe.kv_heads):
        rows = slice(head * dim, (head + 1) * dim)
        first.q_proj.weight[rows] = _QUIET * first.q_proj.weight[rows] + pointing(head + 1)
    first.k_proj.weight[:dim] = _QUIET * first.k_proj.weight[:dim] + pointing(0)
    first.v_proj.weight[:dim] = seen_hd
    first.o_proj.weight[:, :dim] = _COPIED * written_hd.T

    # A token's key is the token before it (written by layer 0), its query the token itself.
    slow_d1 = (turns_f < _SLOW).float().repeat(2)[:, None]
    second.q_proj.weight[:dim] = 0.02 * second.q_proj.weight[:dim] + seen_hd * slow_d1
    second.k_proj.weight[:dim] = 0.02 * second.k_proj.weight[:dim] + written_hd * slow_d1
    second.v_proj.weight[:dim] = copied_hd
    second.o_proj.weight[:, :dim] = _COPIED * copied_hd.T


def _directions(recipe: Recipe, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Draw orthonormal rows: one for the constant; head_dim each to read by, to write to and to copy through."""

    def rows(count: int, *apart: Tensor) -> Tensor:
        drawn = torch.randn(count, recipe.hidden, generator=generator)
        if apart:
            taken = torch.cat(apart)
            drawn -= drawn @ taken.T @ taken
        orthonormal: Tensor = torch.linalg.qr(drawn.T)[0].T
        return orthonormal

    common_1d = rows(1)
    seen_hd = rows(recipe.head_dim, common_1d)
    written_hd = rows(recipe.head_dim, common_1d, seen_hd)
    return common_1d, seen_hd, written_hd, rows(recipe.head_dim, common_1d)
