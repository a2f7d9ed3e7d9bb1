"""A whole sweep against transformers' `generate`, called per problem with num_return_sequences.

40 problems, W = 8 threads, chains of mixed lengths: the engine replaces a finished thread at once (continuous
batching), `generate` waits for the longest thread of each problem. Both sample at T = 0.6, top-p 0.95, in bf16.
"""

from __future__ import annotations

import argparse
import time

import torch

from benchmarks.common import ours, print_table, prompts, theirs
from hyperscale.config import Sampling
from hyperscale.engines.base import Job
from hyperscale.engines.torch.engine import TorchEngine

WIDTH = 8


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--problems", type=int, default=40)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--dtype", default="bfloat16")
    args = parser.parse_args()
    mine, other = ours(args.dtype), theirs(args.dtype)
    ids = prompts(mine, args.problems)
    engine = TorchEngine(mine, sampling=Sampling(), length_cap=args.length, max_batch=128)
    jobs = [Job("bench", str(i), p, dict.fromkeys(range(WIDTH), args.length)) for i, p in enumerate(ids)]
    list(engine.generate(jobs[:1]))
    other.generate(torch.tensor([ids[0]]), max_new_tokens=4, do_sample=False, pad_token_id=0)

    start = time.perf_counter()
    our_tokens = sum(len(chain.tokens) for chain in engine.generate(jobs))
    our_seconds = time.perf_counter() - start

    torch.manual_seed(0)
    eos = torch.tensor(sorted(mine.eos_ids))
    start, their_tokens = time.perf_counter(), 0
    for prompt in ids:
        with torch.inference_mode():
            out = other.generate(
                torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long), do_sample=True,
                temperature=0.6, top_p=0.95, top_k=0, num_return_sequences=WIDTH,
                max_new_tokens=args.length - len(prompt),
                eos_token_id=eos.tolist(), pad_token_id=int(eos[0]),
            )[:, len(prompt) :]  # fmt: skip
        ended = torch.isin(out, eos).int().cumsum(1)
        their_tokens += int((ended == 0).sum() + (ended.max(1).values > 0).sum())
    their_seconds = time.perf_counter() - start

    print_table(
        f"{args.problems} problems x W = {WIDTH}, L = {args.length}, {args.dtype}",
        ["", "tokens", "seconds", "tokens/s"],
        [
            ["hyperscale", str(our_tokens), f"{our_seconds:.0f}", f"{our_tokens / our_seconds:.0f}"],
            ["generate", str(their_tokens), f"{their_seconds:.0f}", f"{their_tokens / their_seconds:.0f}"],
            [
                "ratio", f"{our_tokens / their_tokens:.2f}", f"{their_seconds / our_seconds:.2f}x",
                f"{our_tokens / our_seconds / (their_tokens / their_seconds):.2f}x",
            ],
        ],
    )  # fmt: skip


if __name__ == "__main__":
    main()
