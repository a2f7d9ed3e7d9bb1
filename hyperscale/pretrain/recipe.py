"""Recipe: every parameter of the shipped model's training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hyperscale.tasks.generators.vocabulary import VOCABULARY, make_tokenizer

if TYPE_CHECKING:
    from transformers import Qwen3Config

Mixture = dict[str, float]
"""Shares of the kinds of documents: the generators, and `recall`."""


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
