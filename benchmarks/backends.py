"""Whole decode steps of SmolLM2-135M after a long context: tokens/s and bytes of each KV-cache backend.

Each backend prefills the same batch of sequences with random keys and values of the context's length (running the
model over 8 x 8,000 prompt tokens would take minutes without changing a step's cost); then real decode steps of the
model are timed in turns with those of the other backends.
SmolLM2 has no trained gates: DMS and DMC get random decisions that evict or merge a share 1 - 1/CR of the tokens.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.common import ours, paired, print_table
from hyperscale.attention.base import decode_attention
from hyperscale.backends import backend_class
from hyperscale.backends.base import Backend, PolicyContext
from hyperscale.backends.dmc import Decided
from hyperscale.backends.memory import cache_shape
from hyperscale.kvcache.block_pool import BLOCK_SIZE, blocks_for
from hyperscale.kvcache.block_table import BlockTable
from hyperscale.kvcache.meter import Meter
from hyperscale.model.layers import pack
from hyperscale.model.load import Model
from hyperscale.model.spec import GateSpec

NAMES = ("vanilla", "quest", "tova", "h2o", "random", "dms", "dmc")
STEPS, REPEATS, CHUNK = 4, 5, 64 * BLOCK_SIZE


class Stage(NamedTuple):
    """A backend with a prefilled context."""

    name: str
    table: BlockTable
    block_bytes: int
    step: Callable[[], None]


def stage(model: Model, name: str, ratio: int, batch: int, context: int) -> Stage:
    """Prefill `batch` sequences of `context` tokens each under a backend."""
    spec, policy, dtype = model.spec, backend_class(name), model.decoder.embed.dtype
    cap = context + STEPS * (REPEATS + 2)
    budget = context // ratio if policy.knows_length else None
    most = policy.row_tokens(cap, budget)
    table = BlockTable(
        layers=spec.layers, kv_heads=spec.kv_heads, head_dim=spec.head_dim, seqs=batch, max_length=most,
        blocks=batch * spec.layers * spec.kv_heads * blocks_for(most), dtype=dtype, device=torch.device("cpu"),
    )  # fmt: skip
    gates = GateSpec("dmc" if name == "dmc" else "linear", window=256, ratio=ratio)
    meter = Meter(table, batch)
    backend = policy(PolicyContext(table, meter, decode_attention(table, spec.heads), budget, gates))
    seqs = np.array([table.open() for _ in range(batch)])
    for seq in seqs.tolist():
        _fill(backend, model, seq, context, ratio, dtype)
    positions = torch.full((batch,), context)
    tokens = torch.arange(100, 100 + batch)

    def attend(layer: int, q_nhd: Tensor, k_nkd: Tensor, v_nkd: Tensor) -> Tensor:
        return backend.decode(layer, seqs, q_nhd, k_nkd, v_nkd, *_decisions(backend, batch, ratio))

    @torch.inference_mode()
    def step() -> None:
        for _ in range(STEPS):
            model.decoder.logits(model.decoder.hidden(tokens, positions, attend))
            meter.take(seqs)

    label = name if name == "vanilla" else f"{name} CR {ratio}"
    return Stage(label, table, cache_shape(spec, dtype, policy).page_bytes, step)


@torch.inference_mode()
def _fill(backend: Backend, model: Model, seq: int, context: int, ratio: int, dtype: torch.dtype) -> None:
    spec = model.spec
    backend.begin(seq, seq)
    dense = backend.dense_prompt(context)
    size = dense if backend.whole_prompt else CHUNK
    for layer in range(spec.layers):
        for start in range(0, dense, size):
            t = min(size, dense - start)
            # One query suffices for a dense prompt: its output is discarded, and the keys are random.
            q = torch.randn(t if backend.gated else 1, spec.heads, spec.head_dim, dtype=dtype)
            k, v = (torch.randn(t, spec.kv_heads, spec.head_dim, dtype=dtype) for _ in range(2))
            backend.prefill(layer, seq, q, k, v, *_decisions(backend, t, ratio))


def _decisions(backend: Backend, tokens: int, ratio: int) -> tuple[Tensor, ...]:
    if not backend.gated:
        return ()
    kv_heads, head_dim = backend.table.kv_heads, backend.table.head_dim
    decision = torch.rand(tokens, kv_heads) - 1 / ratio
    if backend.name == "dms":
        return (decision,)
    angles = torch.rand(tokens, 1, head_dim)
    return Decided(decision, torch.randn_like(decision), torch.randn(tokens, kv_heads, head_dim), angles, angles)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--context", type=int, default=8000)
    parser.add_argument("--cr", type=int, nargs="+", default=[4, 8])
    args = parser.parse_args()
    model = ours("bfloat16", endless=True)
    pack(model.decoder)
    stages = [stage(model, "vanilla", 1, args.batch, args.context)]
    stages += [stage(model, name, cr, args.batch, args.context) for name in NAMES[1:] for cr in args.cr]
    for entry in stages:
        entry.step()
    times = paired({entry.name: entry.step for entry in stages}, REPEATS)
    base = stages[0]
    rows = [
        [
            entry.name,
            f"{args.batch * STEPS / times[entry.name]:.0f}",
            f"{times[base.name] / times[entry.name]:.2f}x",
            f"{entry.table.blocks_in_use * entry.block_bytes / 2**20:.0f} MiB",
            f"{base.table.blocks_in_use * base.block_bytes / (entry.table.blocks_in_use * entry.block_bytes):.2f}x",
            f"{entry.table.live(np.arange(args.batch)).mean() / (model.spec.layers * model.spec.kv_heads):,.0f}",
        ]
        for entry in stages
    ]
    title = f"Decode steps of SmolLM2-135M, bf16, {args.batch} sequences of {args.context:,} tokens"
    print_table(title, ["backend", "tokens/s", "of vanilla", "KV cache", "smaller", "live tokens per row"], rows)


if __name__ == "__main__":
    main()
