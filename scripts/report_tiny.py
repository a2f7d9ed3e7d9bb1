"""Print the tables and gains of docs/tiny.md and of the README, as Markdown.

python scripts/report_tiny.py results/tiny results/tiny-immediate
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pandas as pd

from hyperscale.analysis.gain import gains

NAMES = {
    "vanilla": "vanilla", "dms": "DMS", "quest": "Quest", "tova": "TOVA", "h2o": "H2O", "dmc": "DMC",
    "random": "random", "immediate": "immediate DMS",
}  # fmt: skip
TASKS = ("countdown", "trace")


def main(results: Path, ablation: Path) -> None:
    """Print the tables of the reference run, and delayed against immediate eviction."""
    for folder in (results, ablation):
        print(f"\n{folder.name}: W = 1, L = 512\n")
        print_full_length(pd.read_parquet(folder / "points.parquet"))
    print("\nGains in points of accuracy over a log2 budget\n")
    print("| task | pair | axis | gain | 95 % |\n|---|---|---|---|---|")
    for row in pd.read_parquet(results / "gains.parquet").to_dict("records"):
        if row["backend"] == "dms" or row["baseline"] in ("vanilla", "dms"):
            print_gain(row)
    delayed, immediate = (pd.read_parquet(folder / "outcomes.parquet") for folder in (results, ablation))
    both = [delayed[delayed["backend"] == "dms"], immediate.assign(model="tiny", backend="immediate")]
    for row in gains(pd.concat(both), [("dms", "immediate")]).to_dict("records"):
        print_gain(row)


def print_full_length(points: pd.DataFrame) -> None:
    """Print every backend with one thread at the largest L."""
    full = points[(points["length"] == points["length"].max()) & (points["width"] == 1)]
    columns = "accuracy | KV reads | peak tokens | compression reached"
    print(f"| backend | {' | '.join(f'{task}: {columns}' for task in TASKS)} |\n|---|{'---|' * 4 * len(TASKS)}")
    order = sorted(set(zip(full["compression_ratio"], full["backend"], strict=True)), key=_rank)
    for ratio, backend in order:
        cells = []
        for task in TASKS:
            found = (full["task"] == task) & (full["backend"] == backend) & (full["compression_ratio"] == ratio)
            [row] = full[found].to_dict("records")
            interval = f"{row['accuracy_low']:.2f}–{row['accuracy_high']:.2f}"
            cells += [f"{row['accuracy']:.2f} ({interval})", f"{row['kv_reads']:,.0f}"]
            cells += [f"{row['peak_tokens']:,.0f}", f"{row['realised_ratio']:.1f}"]
        print(f"| {NAMES[backend]} CR {ratio:g} | {' | '.join(cells)} |")


def print_gain(row: dict[Any, Any]) -> None:
    """Print the gain of a pair on an axis, if the two share a budget."""
    if row["scale"] == "log2" and pd.notna(row["gain"]):
        value, low, high = (100 * row[name] for name in ("gain", "gain_low", "gain_high"))
        pair = f"{NAMES[row['backend']]} over {NAMES[row['baseline']]}"
        print(f"| {row['task']} | {pair} | {row['axis']} | {value:+.1f} | {low:+.1f} to {high:+.1f} |")


def _rank(run: tuple[float, str]) -> tuple[float, int]:
    return run[0], list(NAMES).index(run[1])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
