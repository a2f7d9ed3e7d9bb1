"""Prints the tables of docs/reproduction.md and of the README from the reference results, as Markdown."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pandas as pd

NAMES = {
    "vanilla": "vanilla", "dms": "DMS", "quest": "Quest", "tova": "TOVA", "h2o": "H2O", "dmc": "DMC",
    "random": "random",
}  # fmt: skip


def main(results: Path) -> None:
    """Tables of one results folder."""
    points, gains = (pd.read_parquet(results / f"{name}.parquet") for name in ("points", "gains"))
    for task, of_task in points.groupby("task"):
        print_full_length(str(task), of_task)
    print("\n### gains, points of accuracy (log2 budget)\n")
    print("| task | pair | axis | gain | 95 % |\n|---|---|---|---|---|")
    chosen = gains[(gains["scale"] == "log2") & gains["gain"].notna()]
    for row in chosen.to_dict("records"):
        if row["backend"] == "dms" or row["baseline"] in ("vanilla", "dms"):
            print_gain(row)


def print_full_length(task: str, points: pd.DataFrame) -> None:
    """Every backend at W = 1 and the greatest L."""
    longest = points["length"].max()
    full = points[(points["length"] == longest) & (points["width"] == 1)]
    full = full.assign(rank=full["backend"].map(list(NAMES).index)).sort_values(["compression_ratio", "rank"])
    print(f"\n### {task}: W = 1, L = {longest}\n")
    print("| backend | accuracy | 95 % | KV reads | peak tokens | compression reached |\n|---|---|---|---|---|---|")
    for row in full.to_dict("records"):
        ratio = "" if row["compression_ratio"] == 1 else f" CR {row['compression_ratio']:g}"
        print(
            f"| {NAMES[row['backend']]}{ratio} | {row['accuracy']:.3f} "
            f"| {row['accuracy_low']:.3f}–{row['accuracy_high']:.3f} | {row['kv_reads']:,.0f} "
            f"| {row['peak_tokens']:,.0f} | {row['realised_ratio']:.2f} |"
        )


def print_gain(row: dict[Any, Any]) -> None:
    """One pair on one axis."""
    value, low, high = (100 * row[name] for name in ("gain", "gain_low", "gain_high"))
    pair = f"{NAMES[row['backend']]} over {NAMES[row['baseline']]}"
    print(f"| {row['task']} | {pair} | {row['axis']} | {value:+.1f} | {low:+.1f} to {high:+.1f} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
