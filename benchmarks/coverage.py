"""How often the 95 % interval of a point holds the true accuracy, over simulated benchmarks.

A simulated benchmark draws n problems, each with a chance of being solved by one thread, and for each a pool of 16
threads. Its accuracy at W is the expected majority vote of W of them, right against wrong; the truth is the mean vote
of W fresh threads over all problems that could be drawn. Threads are noise within a problem, problems are what the
interval is over.

    python -m benchmarks.coverage                       # the table
    python -m benchmarks.coverage --write docs/analysis.md    # into the document, between its markers
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, binom, hypergeom

from hyperscale.analysis.intervals import mean_interval

POOL = 16
PROBLEMS = (12, 30, 198)
WIDTHS = (1, 4, 16)
MARKS = "<!-- coverage: python -m benchmarks.coverage --write docs/analysis.md -->", "<!-- coverage ends -->"

Floats = NDArray[np.float64]
LEVELS = (np.arange(4000) + 0.5) / 4000
"""Equal shares of all problems, by the rank of their chance: a world is its chances at these ranks."""


def two(share: float, high: float, low: float) -> Callable[[Floats], Floats]:
    """A share of problems with one chance, the others with another."""
    return lambda rank: np.where(rank < share, high, low)


WORLDS: dict[str, Callable[[Floats], Floats]] = {
    "all .5": two(1, 0.5, 0.5),
    "all .98": two(1, 0.98, 0.98),
    "bimodal: half .95, half .05": two(0.5, 0.95, 0.05),
    "bimodal: 90 % .95, 10 % .05": two(0.9, 0.95, 0.05),
    "bimodal: 70 % 1, 30 % 0": two(0.7, 1, 0),
    "bimodal: 90 % 1, 10 % 0": two(0.9, 1, 0),
    "bimodal: 98 % 1, 2 % 0": two(0.98, 1, 0),
    "beta(.3, .3)": lambda rank: beta(0.3, 0.3).ppf(rank),
    "beta(.2, 2), mostly hopeless": lambda rank: beta(0.2, 2).ppf(rank),
    "beta(2, .2), mostly easy": lambda rank: beta(2, 0.2).ppf(rank),
}


def votes(width: int) -> Floats:
    """Expected majority vote of `width` threads of the pool, by the number of right ones in it; half for a tie."""
    right = np.arange(width + 1)
    value = (2 * right > width) + 0.5 * (2 * right == width)
    return np.array([hypergeom(POOL, count, width).pmf(right) @ value for count in range(POOL + 1)])


def coverage(world: Callable[[Floats], Floats], problems: int, width: int, times: int, seed: int = 0) -> Floats:
    """Share of intervals that hold the truth, and their mean width."""
    draw = np.random.default_rng(seed)
    vote = votes(width)
    chances = world(LEVELS)
    truth = float((binom.pmf(np.arange(POOL + 1)[:, None], POOL, chances) * vote[:, None]).sum(axis=0).mean())
    found = []
    for _ in range(times):
        solved = draw.binomial(POOL, draw.choice(chances, problems))
        interval = mean_interval(vote[solved])
        found.append((interval.low <= truth <= interval.high, interval.high - interval.low))
    return np.mean(found, axis=0)


def table(times: int) -> str:
    """The Markdown table: a row a world, a cell for each n and W."""
    heads = [f"n {problems}, W {width}" for problems in PROBLEMS for width in WIDTHS]
    lines = [f"| chance of a problem | {' | '.join(heads)} |", f"|---|{'---|' * len(heads)}"]
    least = 1.0
    for name, world in WORLDS.items():
        cells = []
        for problems in PROBLEMS:
            for width in WIDTHS:
                share, size = coverage(world, problems, width, times)
                least = min(least, share)
                cells.append(f"{100 * share:.1f} ({size:.2f})")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", f"Least: {100 * least:.1f} %, of {times:,} simulations a cell (standard error about 0.3 points)."]
    return "\n".join(lines)


def main() -> None:
    """Print the table, or write it into a document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=5_000)
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    made = table(given.times)
    if given.write is None:
        print(made)
        return
    text = given.write.read_text()
    before, rest = text.split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    given.write.write_text(f"{before}{MARKS[0]}\n{made}\n{MARKS[1]}{after}")


if __name__ == "__main__":
    main()
