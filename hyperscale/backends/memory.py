"""Size the pool before the first token, so that no run exceeds its memory budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from hyperscale.backends.base import Backend
from hyperscale.kvcache.block_pool import BLOCK_SIZE, blocks_for
from hyperscale.kvcache.shape import CacheShape
from hyperscale.model.spec import ModelSpec


def cache_shape(spec: ModelSpec, dtype: torch.dtype, policy: type[Backend]) -> CacheShape:
    """Compute the constants of this model's cache under a backend, stored as `dtype`."""
    token_bytes = 2 * spec.head_dim * torch.empty((), dtype=dtype).element_size()
    return CacheShape(spec.layers, spec.kv_heads, token_bytes, (BLOCK_SIZE + policy.block_overhead) * token_bytes)


@dataclass(frozen=True)
class BlockBounds:
    """Bounds on the blocks of sequences, all layers and KV heads, under one backend; and their expected number."""

    rows: int
    """Rows of one sequence: layers x KV heads."""
    policy: type[Backend]
    budget: int | None
    expects: Callable[[int], int] | None = None
    """KV tokens expected in a row of so many, where gates decide; see `Backend.expectation`."""

    def prompt(self, tokens: int) -> int:
        """Bound the blocks of a prefilled prompt."""
        return self.rows * self.policy.prompt_blocks(tokens, self.budget)

    def thread(self, prompt: int, length_cap: int) -> int:
        """Bound the blocks of a thread beside those it shares with its prompt."""
        return self.rows * self.policy.thread_blocks(prompt, length_cap, self.budget)

    def expected(self, prompt: int, length_cap: int | None = None) -> int:
        """Expect blocks of a thread, or without a cap of a prompt; the bound itself where it is certain."""
        most = self.prompt(prompt) if length_cap is None else self.thread(prompt, length_cap)
        if self.expects is None:
            return most
        return min(most, self.rows * blocks_for(self.expects(prompt if length_cap is None else length_cap)))

    def least(self, length_cap: int) -> int:
        """Count the blocks that suffice for a thread of `length_cap` tokens and its prompt, of any length."""
        # A prompt that ends within a block costs its thread a copy of that block.
        alone = self.rows * (blocks_for(self.policy.row_tokens(length_cap, self.budget)) + 1)
        return 2 * alone if self.policy.overwrites else alone


def block_bounds_for(spec: ModelSpec, policy: type[Backend], settings: Any, cache_budget: int | None) -> BlockBounds:
    """Bound the blocks of sequences of this model under a policy."""
    return BlockBounds(spec.layers * spec.kv_heads, policy, cache_budget, policy.expectation(spec.gates, settings))


def pool_blocks(shape: CacheShape, memory_budget: int, max_batch: int, length_cap: int, bounds: BlockBounds) -> int:
    """Count the blocks to allocate: the budget's, but no more than `max_batch` threads and a prompt can use.

    Raises ValueError if the budget does not hold one thread of `length_cap` tokens beside its prompt.
    """
    blocks = memory_budget // shape.page_bytes
    least = bounds.least(length_cap)
    if blocks < least:
        raise ValueError(
            f"--memory-budget {memory_budget:,} bytes cannot hold one thread of {length_cap:,} tokens under "
            f"{bounds.policy.name}: that takes {least * shape.page_bytes:,} bytes. "
            "Raise the budget or lower the length."
        )
    return min(blocks, least * (max_batch + 1))


def batch_threads(shape: CacheShape, memory_budget: int, max_batch: int, length_cap: int, bounds: BlockBounds) -> int:
    """Count the threads of `length_cap` tokens that run together, their prompts' blocks among their own."""
    return min(max_batch, memory_budget // shape.page_bytes // bounds.expected(0, length_cap))


def scheduled_threads(
    shape: CacheShape, memory_budget: int, max_batch: int, prompt: int, width: int, length_cap: int, bounds: BlockBounds
) -> int:
    """Count the threads that the scheduler lets run together where every problem has this prompt and `width` threads.

    All blocks that a thread can need, or is expected to, are reserved, and those of each problem's prompt beside its
    threads' (`engines/torch/scheduler.py`). 0 where the budget does not hold one thread of `length_cap` tokens.
    """
    try:
        blocks = pool_blocks(shape, memory_budget, max_batch, length_cap, bounds)
    except ValueError:
        return 0
    of_prompt, of_thread = bounds.expected(prompt), bounds.expected(prompt, length_cap)
    whole, left = divmod(blocks, of_prompt + width * of_thread)
    rest = max(0, min(width, (left - of_prompt) // of_thread)) if of_thread else width
    return min(max_batch, blocks // shape.rows, whole * width + rest)
