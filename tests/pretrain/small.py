"""A recipe that trains in seconds."""

from __future__ import annotations

from dataclasses import replace

from hyperscale.pretrain.recipe import Recipe

SMALL = replace(Recipe(), steps=12, tokens_per_step=512, opening_groups=2, max_tokens=256, layers=2, hidden=96, ffn=64)
