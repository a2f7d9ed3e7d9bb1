"""Print the tables and gains of docs/tiny.md and of the README, as Markdown.

python scripts/report_tiny.py results/tiny results/tiny-immediate
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pandas as pd

from hyperscale.analysis.curves import READINGS, Reading
from hyperscale.analysis.gain import gains

NAMES = {
    "vanilla": "vanilla", "dms": "DMS", "quest": "Quest", "tova": "TOVA", "h2o": "H2O", "dmc": "DMC",
    "random": "random", "immediate": "immediate DMS",
}  # fmt: skip
TASKS = ("countdown", "trace")
KEY = ["task", "backend", "baseline", "axis"]


def main(results: Path, ablation: Path) -> None:
    """Print the tables of the reference run, and delayed against immediate eviction."""
    for folder in (results, ablation):
        print(f"\n{folder.name}: W = 1, L = 512\n")
        print_full_length(pd.read_parquet(folder / "points.parquet"))
    print("\nGains in points of accuracy; null: the gain of equals\n")
    print(f"| task | pair | axis | {' | '.join(_name(reading) for reading in READINGS)} |")
    print(f"|---|---|---|{'---|' * len(READINGS)}")
    found = pd.read_parquet(results / "gains.parquet")
    found = found[(found["backend"] == "dms") | found["baseline"].isin(["vanilla", "dms"])]
    delayed, immediate = (pd.read_parquet(folder / "outcomes.parquet") for folder in (results, ablation))
    both = [delayed[delayed["backend"] == "dms"], immediate.assign(model="tiny", backend="immediate")]
    found = pd.concat([found, gains(pd.concat(both), [("dms", "immediate")])])
    disagree = [line for _, pair in found.groupby(KEY, sort=False) if (line := print_gains(pair))]
    print("\nReadings that disagree in sign\n")
    print("\n".join(f"* {line}" for line in disagree) or "none")


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


def print_gains(pair: pd.DataFrame) -> str | None:
    """Print the readings of a pair's gain on an axis, if the two share a budget; name it where their signs differ."""
    rows = {(row["interpolation"], row["scale"]): row for row in pair.to_dict("records")}
    known = {reading: rows[reading] for reading in READINGS if pd.notna(rows[reading]["gain"])}
    if not known:
        return None
    first = next(iter(known.values()))
    name = f"{first['task']} | {NAMES[first['backend']]} over {NAMES[first['baseline']]} | {first['axis']}"
    print(f"| {name} | {' | '.join(_cell(rows[reading]) for reading in READINGS)} |")
    if len({row["gain"] > 0 for row in known.values()}) == 1:
        return None
    return f"{name}: " + ", ".join(f"{_name(reading)} {100 * row['gain']:+.1f}" for reading, row in known.items())


def _cell(row: dict[Any, Any]) -> str:
    """Write a gain, its interval and its null: `+18.3 (12.4…23.5; null +1.0)`."""
    value, low, high, null = (100 * row[name] for name in ("gain", "gain_low", "gain_high", "gain_null"))
    interval = f"{low:.1f}…{high:.1f}" if pd.notna(low) else "no interval"
    return f"{value:+.1f} ({interval}; null {null:+.1f})" if pd.notna(value) else "NA"


def _name(reading: Reading) -> str:
    paper = ", the paper's" if reading == Reading("linear", "linear") else ""
    return f"{reading.interpolation} × {reading.scale}{paper}"


def _rank(run: tuple[float, str]) -> tuple[float, int]:
    return run[0], list(NAMES).index(run[1])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
