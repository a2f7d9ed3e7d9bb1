"""The constants that turn counts of tokens and blocks into means and bytes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CacheShape:
    """Constants of one model's cache under one backend; the fields are columns of the samples table."""

    layers: int
    kv_heads: int
    token_bytes: int
    """Bytes of one KV token of one KV head of one layer (key and value)."""
    page_bytes: int
    """Bytes of one block, 16 KV tokens (vLLM: its own size) of one KV head of one layer, backend overhead included."""

    @property
    def rows(self) -> int:
        """Rows of one sequence: layers x KV heads."""
        return self.layers * self.kv_heads
