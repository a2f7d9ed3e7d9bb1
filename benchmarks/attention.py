"""Decode attention over ragged rows of the block table: time per step scales with live tokens.

For the head shapes of SmolLM2-135M and Qwen3-8B, contexts from 1k to 32k tokens and batches of 8 and 64: rows with
the whole context (vanilla), rows with 1/CR of it that report the attention on each place (TOVA), and rows whose KV
heads hold from half to one and a half times that (DMS). Compared with torch's SDPA on dense tensors of the vanilla
length, and with a plain memory copy. Enough layers to fill half a gigabyte are traversed, so that nothing stays in a
CPU cache; times are per layer. All are measured in turns in one process.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from benchmarks.common import paired, print_table
from hyperscale.attention.base import decode_attention
from hyperscale.hardware.jit import compiled
from hyperscale.kvcache.block_pool import BLOCK_SIZE, blocks_for, take
from hyperscale.kvcache.block_table import BlockTable

RATIOS = (4, 8)
CONTEXTS = (1024, 4096, 16384, 32768)
BATCHES = (8, 64)
MOST_BYTES = 5 << 30
"""Largest KV cache measured: block table and dense tensors must fit into memory together."""
WALKED_BYTES = 1 << 29
REPEATS = 5


class Shape(NamedTuple):
    """Attention heads of a model."""

    model: str
    heads: int
    kv_heads: int
    head_dim: int

    @property
    def token_bytes(self) -> int:
        """Bytes of a token in one layer, in bf16."""
        return 2 * 2 * self.kv_heads * self.head_dim


SHAPES = (Shape("SmolLM2-135M", 9, 3, 64), Shape("Qwen3-8B", 32, 8, 128))


@compiled()
def _decode(block_table, used_k, pool):  # type: ignore[no-untyped-def]
    """Take blocks in decoding order: one for every row before the next."""
    layers, seqs, kv_heads = block_table.shape[:3]
    for b in range(used_k.max()):
        for layer in range(layers):
            for s in range(seqs):
                for k in range(kv_heads):
                    if b < used_k[k]:
                        block_table[layer, s, k, b] = take(block_table[layer, s, k], b, b, pool)


class Held(NamedTuple):
    """A call that attends all rows of several layers."""

    call: Callable[[], None]
    layers: int


def held(shape: Shape, batch: int, context: int, ratio: int, kind: str) -> Held:
    """Fill rows of `context` / `ratio` tokens per KV head, on average."""
    mean = context // ratio
    layers = max(1, WALKED_BYTES // (batch * mean * shape.token_bytes))
    spread = np.linspace(0.5, 1.5, shape.kv_heads) if kind == "dms" else np.ones(shape.kv_heads)
    lengths = np.maximum(1, (mean * spread).astype(np.int64))
    blocks = layers * batch * int(sum(blocks_for(int(length)) for length in lengths))
    table = BlockTable(
        layers=layers, kv_heads=shape.kv_heads, head_dim=shape.head_dim, seqs=batch, max_length=int(lengths.max()),
        blocks=blocks, dtype=torch.bfloat16, device=torch.device("cpu"),
    )  # fmt: skip
    table.k_btd.view(torch.int16).random_(15000, 17000)
    table.v_btd.view(torch.int16).random_(15000, 17000)
    _decode(table.block_table, -(-lengths // BLOCK_SIZE), table.pool.state)
    table.lengths[:] = lengths
    seqs = np.arange(batch)
    attention = decode_attention(table, shape.heads)
    q_nhd = torch.randn(batch, shape.heads, shape.head_dim, dtype=torch.bfloat16)

    def call() -> None:
        for layer in range(layers):
            if kind == "tova":
                attention.weighed(layer, seqs, q_nhd)
            else:
                attention(layer, seqs, q_nhd)

    return Held(call, layers)


def dense(shape: Shape, batch: int, context: int) -> tuple[Callable[[], None], int]:
    """Return a call of SDPA over dense keys and values, and its number of layers."""
    layers = max(1, WALKED_BYTES // (batch * context * shape.token_bytes))
    size = (batch, shape.kv_heads, context, shape.head_dim)
    pairs: list[tuple[Tensor, Tensor]] = [
        (torch.randn(size, dtype=torch.bfloat16), torch.randn(size, dtype=torch.bfloat16)) for _ in range(layers)
    ]
    q = torch.randn(batch, shape.heads, 1, shape.head_dim, dtype=torch.bfloat16)

    def call() -> None:
        for k, v in pairs:
            scaled_dot_product_attention(q, k, v, enable_gqa=True)

    return call, layers


def copied_bytes_a_second() -> float:
    """Measure bytes read and written per second by a plain copy of 512 MiB."""
    source = torch.ones(128 << 20)
    target = torch.empty_like(source)
    target.copy_(source)
    return 2 * source.nbytes / paired({"copy": lambda: target.copy_(source)}, 7)["copy"]


def measure(shape: Shape, batch: int, context: int, copy: float) -> list[str]:
    """Measure one row of the table: milliseconds per layer, and ratios."""
    kinds = {"vanilla": (1, "vanilla")} | {f"{kind} {cr}": (cr, kind) for kind in ("tova", "dms") for cr in RATIOS}
    made = {name: held(shape, batch, context, ratio, kind) for name, (ratio, kind) in kinds.items()}
    sdpa, sdpa_layers = dense(shape, batch, context)
    with torch.inference_mode():
        calls = {name: entry.call for name, entry in made.items()} | {"sdpa": sdpa}
        for call in calls.values():
            call()
        times = paired(calls, REPEATS)
    a_layer = {name: times[name] / entry.layers for name, entry in made.items()}
    rate = batch * context * shape.token_bytes / a_layer["vanilla"]
    speedups = [f"{a_layer['vanilla'] / a_layer[name]:.1f}x" for name in made if name != "vanilla"]
    return [
        shape.model,
        f"{context // 1024}k",
        str(batch),
        f"{a_layer['vanilla'] * 1e3:.2f}",
        f"{rate / 1e9:.1f} ({rate / copy:.0%})",
        f"{times['sdpa'] / sdpa_layers / a_layer['vanilla']:.2f}x",
        *speedups,
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--context", type=int, help="measure this context alone")
    parser.add_argument("--batch", type=int, help="measure this batch alone")
    parser.add_argument("--model", help="measure this model's shapes alone")
    args = parser.parse_args()
    copy = copied_bytes_a_second()
    rows = [
        measure(shape, batch, context, copy)
        for shape in SHAPES
        for context in CONTEXTS
        for batch in BATCHES
        if batch * context * shape.token_bytes <= MOST_BYTES
        and args.context in (None, context)
        and args.batch in (None, batch)
        and args.model in (None, shape.model)
    ]
    header = ["shapes", "context", "batch", "vanilla ms", "GB/s (of copy)", "SDPA / vanilla"]
    header += [f"{kind} CR {cr}" for kind in ("TOVA", "DMS") for cr in RATIOS]
    title = f"Decode attention of one layer, bf16, blocks of {BLOCK_SIZE}; a copy moves {copy / 1e9:.1f} GB/s"
    print_table(title, header, rows)


if __name__ == "__main__":
    main()
