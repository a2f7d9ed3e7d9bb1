"""Recipe: every parameter of the shipped model's training, and the initial weights.

These are random, except for one circuit of induction heads. In-context look-ups (given `c= f +3` in the prompt, write
`f` after `c=`) need an induction circuit: a previous-token head, and a head in a later layer that finds an earlier
occurrence of the current token and copies the token after it. From random weights it forms suddenly, after millions of
look-ups (Olsson et al. 2022, "In-context Learning and Induction Heads"). Here both heads exist in rough form from the
first step, and all weights train from there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hyperscale.tasks.generators.vocabulary import VOCABULARY, make_tokenizer

if TYPE_CHECKING:
    from transformers import Qwen3Config, Qwen3ForCausalLM

Mixture = dict[str, float]
"""Shares of the kinds of documents: the generators, and `recall`."""

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


@dataclass(frozen=True)
class Recipe:
    """Parameters of a training run, by default the shipped model's. Tokens count padding."""

    steps: int = 10_000
    tokens_per_step: int = 4096
    seed: int = 0

    lr: float = 1.5e-3
    warmup_steps: int = 50
    decay: float = 0.8
    """Share of the steps, at the end, over which the learning rate falls linearly to 0."""
    clip: float = 1.0

    opening_groups: int = 17
    """Groups (corpus.py; about 30 steps each) of the opening mixture, which is dense in look-ups."""
    opening: Mixture = field(default_factory=lambda: {"recall": 0.3, "trace": 0.35, "countdown": 0.35})
    mixture: Mixture = field(default_factory=lambda: {"recall": 0.02, "trace": 0.2, "countdown": 0.78})
    max_tokens: int = 512
    """Longest document; longer ones are skipped."""
    verdict_weight: float = 2.0
    """Weight of `yes` and `no` in the loss; other tokens of a chain have 1, those of a prompt 0."""

    layers: int = 4
    hidden: int = 128
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 32
    ffn: int = 512
    rope_theta: float = 1e5
    qk_gain: float = 2.0
    """Initial weights of the q and k norms; above 1 for sharper look-ups."""

    def __post_init__(self) -> None:
        assert self.max_tokens % 64 == 0, "max_tokens must be a multiple of 64, as row lengths are"

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        warm = min(1.0, (step + 1) / self.warmup_steps)
        left = (1 - step / self.steps) / self.decay
        return self.lr * warm * min(1.0, left)

    def config(self) -> Qwen3Config:
        """Return the architecture as a transformers config."""
        from transformers import Qwen3Config

        tokenizer = make_tokenizer()
        return Qwen3Config(
            vocab_size=len(VOCABULARY), hidden_size=self.hidden, intermediate_size=self.ffn,
            num_hidden_layers=self.layers, num_attention_heads=self.heads, num_key_value_heads=self.kv_heads,
            head_dim=self.head_dim, rms_norm_eps=1e-6, tie_word_embeddings=True, max_position_embeddings=1024,
            rope_parameters={"rope_type": "default", "rope_theta": self.rope_theta},
            eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, bos_token_id=None,
        )  # fmt: skip


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
