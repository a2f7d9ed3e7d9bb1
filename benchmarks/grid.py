"""The cost of a grid: tokens that the plan generates, against generating every point on its own.

Also checks that both give the same chains: every chain of a point generated alone must be the covering chain
cut at the point's L.
"""

from __future__ import annotations

import argparse

from benchmarks.common import ours, print_table, prompts
from hyperscale.config import Sampling
from hyperscale.engines.base import Chain, Job
from hyperscale.engines.torch.engine import TorchEngine
from hyperscale.model.load import Model

WIDTHS, LENGTHS = (1, 2, 4, 8), (128, 256, 512)


def generate(model: Model, ids: list[tuple[int, ...]], width: int, length: int) -> dict[tuple[str, int], Chain]:
    """All threads of all prompts, capped at `length`."""
    engine = TorchEngine(
        model, sampling=Sampling(temperature=0.6), length_cap=length, max_batch=64, batch_invariant=True
    )
    jobs = [Job("bench", str(i), prompt, dict.fromkeys(range(width), length)) for i, prompt in enumerate(ids)]
    return {(chain.problem_id, chain.thread): chain for chain in engine.generate(jobs)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--problems", type=int, default=4)
    args = parser.parse_args()
    model = ours("bfloat16")
    ids = prompts(model, args.problems)
    covering = generate(model, ids, max(WIDTHS), max(LENGTHS))
    planned = sum(len(chain.tokens) for chain in covering.values())
    alone, chains, same = 0, 0, 0
    for width in WIDTHS:
        for length in LENGTHS:
            for key, chain in generate(model, ids, width, length).items():
                cut = covering[key].tokens[: length - chain.prompt_tokens]
                alone += len(chain.tokens)
                chains += 1
                same += chain.tokens.tolist() == cut.tolist()
    print_table(
        f"Grid of W {WIDTHS} x L {LENGTHS}, {args.problems} problems",
        ["", "tokens generated"],
        [
            ["every point on its own", f"{alone:,}"],
            ["by the plan", f"{planned:,}"],
            ["ratio", f"{alone / planned:.2f}x"],
            ["chains that are the covering chain, cut", f"{same} of {chains}"],
        ],
    )
    if same != chains:
        raise SystemExit("a covered point differs from the point generated alone")


if __name__ == "__main__":
    main()
