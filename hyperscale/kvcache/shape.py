"""The constants that turn counts of tokens and blocks into means and bytes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CacheShape:
    """The constants that turn counts of tokens and pages into means and bytes."""

    layers: int
    kv_heads: int
    token_bytes: int
    """Bytes of one KV token of one KV head of one layer (key and value)."""
    page_bytes: int
    """Bytes of one page: 16 KV tokens of one KV head of one layer, and what the backend keeps beside them."""

    @property
    def rows(self) -> int:
        """Rows of one sequence: layers x KV heads."""
        return self.layers * self.kv_heads
