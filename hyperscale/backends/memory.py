"""How many threads a memory budget holds: sized before the first token, so that nothing runs out of memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from hyperscale.backends.base import Backend
from hyperscale.kvcache.block_table import PAGE_SIZE, pages_for
from hyperscale.kvcache.shape import CacheShape
from hyperscale.model.spec import ModelSpec


def cache_shape(spec: ModelSpec, dtype: torch.dtype, policy: type[Backend]) -> CacheShape:
    """Constants of this model's cache under a backend when stored as `dtype`."""
    token_bytes = 2 * spec.head_dim * torch.empty((), dtype=dtype).element_size()
    return CacheShape(spec.layers, spec.kv_heads, token_bytes, (PAGE_SIZE + policy.page_overhead) * token_bytes)


@dataclass(frozen=True)
class Reserve:
    """Most pages that sequences can need, all layers and KV heads, under one backend; and what they are expected to."""

    rows: int
    """Rows of one sequence: layers x KV heads."""
    policy: type[Backend]
    budget: int | None
    expects: Callable[[int], int] | None = None
    """KV tokens that a row is expected to hold of so many, where only gates know; see `Backend.expectation`."""

    def prompt(self, tokens: int) -> int:
        """A prefilled prompt's."""
        return self.rows * self.policy.prompt_pages(tokens, self.budget)

    def thread(self, prompt: int, length_cap: int) -> int:
        """A thread's, beside those it shares with its prompt."""
        return self.rows * self.policy.thread_pages(prompt, length_cap, self.budget)

    def expected(self, prompt: int, length_cap: int | None = None) -> int:
        """What admission counts on: a thread's pages, a prompt's without a cap. The most, where that is certain."""
        most = self.prompt(prompt) if length_cap is None else self.thread(prompt, length_cap)
        if self.expects is None:
            return most
        return min(most, self.rows * pages_for(self.expects(prompt if length_cap is None else length_cap)))

    def least(self, length_cap: int) -> int:
        """Those of a thread of `length_cap` tokens and its prompt, whatever the prompt's length."""
        # A prompt that ends within a page costs its thread a copy of that page.
        alone = self.rows * (pages_for(self.policy.row_tokens(length_cap, self.budget)) + 1)
        return 2 * alone if self.policy.overwrites else alone


def reserve_for(spec: ModelSpec, policy: type[Backend], settings: Any, cache_budget: int | None) -> Reserve:
    """What sequences of this model can need under a policy, and what they are expected to."""
    return Reserve(spec.layers * spec.kv_heads, policy, cache_budget, policy.expectation(spec.gates, settings))


def pool_pages(shape: CacheShape, memory_budget: int, max_batch: int, length_cap: int, reserve: Reserve) -> int:
    """Pages to allocate: the budget's, but no more than `max_batch` threads and a prompt can use.

    ValueError if the budget does not hold one thread of `length_cap` tokens beside its prompt.
    """
    pages = memory_budget // shape.page_bytes
    least = reserve.least(length_cap)
    if pages < least:
        raise ValueError(
            f"--memory-budget {memory_budget:,} bytes cannot hold one thread of {length_cap:,} tokens under "
            f"{reserve.policy.name}: that takes {least * shape.page_bytes:,} bytes. "
            "Raise the budget or lower the length."
        )
    return min(pages, least * (max_batch + 1))


def batch_threads(shape: CacheShape, memory_budget: int, max_batch: int, length_cap: int, reserve: Reserve) -> int:
    """Threads of `length_cap` tokens that run together, their prompts' pages among their own."""
    return min(max_batch, memory_budget // shape.page_bytes // reserve.expected(0, length_cap))
