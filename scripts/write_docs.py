"""Write the numbers of docs from the parquet files of the reference run: `make docs`.

A block between `<!-- numbers: NAME -->` and `<!-- end -->` in README.md or docs/tiny.md is made here and nowhere else.

python scripts/write_docs.py results/tiny results/tiny-immediate README.md docs/tiny.md [--check]
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from hyperscale.analysis.curves import READINGS, THE_READING, Reading
from hyperscale.analysis.gain import gains

NAMES = {
    "vanilla": "vanilla", "dms": "**DMS**", "quest": "Quest", "tova": "TOVA", "h2o": "H2O", "dmc": "DMC",
    "random": "random", "immediate": "immediate DMS",
}  # fmt: skip
TASKS = ("countdown", "trace")
FIRST_PAGE = (("vanilla", 1.0), ("dms", 8.0), ("h2o", 8.0))
BLOCK = re.compile(r"<!-- numbers: (?P<name>[a-z-]+) -->\n.*?<!-- end -->\n", re.DOTALL)


@dataclass(frozen=True)
class Claim:
    """A claim of the paper about a gain: that it is positive, or (`sign` -1) that there is none."""

    text: str
    backend: str
    baseline: str
    axis: str
    sign: int = 1


CLAIMS = (
    Claim("DMS over vanilla, reads (Fig. 1, 3)", "dms", "vanilla", "kv_reads"),
    Claim("DMS over vanilla, peak tokens", "dms", "vanilla", "peak_tokens"),
    Claim("DMS over vanilla, throughput", "dms", "vanilla", "throughput"),
    Claim("DMS over TOVA, reads", "dms", "tova", "kv_reads"),
    Claim("DMS over H2O, reads", "dms", "h2o", "kv_reads"),
    Claim("Quest over vanilla, reads", "quest", "vanilla", "kv_reads"),
    Claim("Quest saves no memory (peak tokens)", "quest", "vanilla", "peak_tokens", -1),
    Claim("Delayed over immediate eviction, reads (Fig. 5)", "dms", "immediate", "kv_reads"),
)


class Numbers:
    """Tables of the reference run and of its ablation."""

    def __init__(self, results: Path, ablation: Path) -> None:
        self.manifest: dict[str, Any] = json.loads((results / "manifest.json").read_text(encoding="utf-8"))
        self.points = pd.read_parquet(results / "points.parquet")
        delayed, immediate = (pd.read_parquet(folder / "outcomes.parquet") for folder in (results, ablation))
        both = [delayed[delayed["backend"] == "dms"], immediate.assign(model="tiny", backend="immediate")]
        pair = gains(pd.concat(both), [("dms", "immediate")])
        self.gains = pd.concat([pd.read_parquet(results / "gains.parquet"), pair])

    def size(self) -> Iterator[str]:
        """Say how large the run was."""
        problems, pool = int(self.points["problems"].max()), int(self.points["samples"].max())
        sessions = self.manifest["sessions"]
        tokens, seconds = (sum(session[name] for session in sessions) for name in ("generated_tokens", "wall_seconds"))
        yield (
            f"The reference run: {problems} problems a task × {pool // problems} threads, {tokens / 1e6:.1f} M tokens "
            f"in {seconds / 60:.0f} minutes of {sessions[-1]['hardware']['cpu']}, commit "
            f"`{str(sessions[-1]['git_commit'])[:7]}`."
        )

    def first_page(self) -> Iterator[str]:
        """Tabulate three runs with one thread at the largest L."""
        yield "| W = 1, L = 512 | countdown | KV reads | peak tokens | trace | KV reads | peak tokens |"
        yield "|---|---|---|---|---|---|---|"
        yield from map(self._full_length, FIRST_PAGE)

    def full_length(self) -> Iterator[str]:
        """Tabulate every run with one thread at the largest L."""
        yield "| backend, CR | countdown | reads | peak | trace | reads | peak |"
        yield "|---|---|---|---|---|---|---|"
        runs = self._alone()[["backend", "compression_ratio"]].drop_duplicates().itertuples(index=False, name=None)
        order = list(NAMES)
        yield from map(self._full_length, sorted(runs, key=lambda run: (run[1], order.index(run[0]))))

    def claims(self) -> Iterator[str]:
        """Tabulate the paper's claims: gain (interval; gain of equals) of either task, and whether the claim holds."""
        yield "| paper | countdown | trace | holds? |"
        yield "|---|---|---|---|"
        for claim in CLAIMS:
            found = [self._gain(claim, task, THE_READING) for task in TASKS]
            verdicts = [_verdict(claim, row) for row in found]
            each = [f"{task}: {verdict}" for task, verdict in zip(TASKS, verdicts, strict=True)]
            told = verdicts[0] if verdicts[0] == verdicts[1] else ", ".join(each)
            yield f"| {claim.text} | {' | '.join(_cell(row) for row in found)} | {told} |"

    def readings(self) -> Iterator[str]:
        """Tabulate the four readings of each claim's gain; the last column names those whose signs differ."""
        yield f"| gain in points | {' | '.join(map(_name, READINGS))} | signs |"
        yield f"|---|{'---|' * (len(READINGS) + 1)}"
        for claim in CLAIMS:
            for task in TASKS:
                rows = [self._gain(claim, task, reading) for reading in READINGS]
                values = [row["gain"] for row in rows]
                known = [value for value in values if pd.notna(value)]
                if known:
                    cells = " | ".join("NA" if pd.isna(value) else f"{100 * value:+.1f}" for value in values)
                    differ = "**differ**" if min(known) < 0 < max(known) else "agree"
                    yield f"| {claim.text.removeprefix('... ')}, {task} | {cells} | {differ} |"

    def _alone(self) -> pd.DataFrame:
        at = self.points
        return at[(at["length"] == at["length"].max()) & (at["width"] == 1)]

    def _full_length(self, run: tuple[str, float]) -> str:
        backend, ratio = run
        full, cells = self._alone(), []
        for task in TASKS:
            of_task = (full["task"] == task) & (full["backend"] == backend) & (full["compression_ratio"] == ratio)
            [row] = full[of_task].to_dict("records")
            interval = f"{row['accuracy_low']:.2f}–{row['accuracy_high']:.2f}"
            cells += [f"{row['accuracy']:.2f} ({interval})", f"{row['kv_reads']:,.0f}", f"{row['peak_tokens']:,.0f}"]
        name = NAMES[backend] if ratio == 1 else f"{NAMES[backend]} {ratio:g}"
        return f"| {name} | {' | '.join(cells)} |"

    def _gain(self, claim: Claim, task: str, reading: Reading) -> dict[Any, Any]:
        at = self.gains
        named = (at["task"] == task) & (at["backend"] == claim.backend) & (at["baseline"] == claim.baseline)
        named &= (at["axis"] == claim.axis) & (at["interpolation"] == reading.interpolation)
        [row] = at[named & (at["scale"] == reading.scale)].to_dict("records")
        return row


def _cell(row: dict[Any, Any]) -> str:
    """Write a gain, its interval and the gain of equals, in points."""
    value, low, high, null = (100 * row[name] for name in ("gain", "gain_low", "gain_high", "gain_null"))
    interval = f"{low:.1f}…{high:.1f}" if pd.notna(low) else "no interval"
    return f"{value:+.1f} ({interval}; equals {null:+.1f})" if pd.notna(value) else "no common budget"


def _verdict(claim: Claim, row: dict[Any, Any]) -> str:
    """Judge a claim: by the interval against 0 and the gain of equals; without an interval nothing is shown."""
    value, low, high, null = (row[name] for name in ("gain", "gain_low", "gain_high", "gain_null"))
    if pd.isna(value) or pd.isna(low):
        return "not shown"
    most_of_equals = max(0.0, null if pd.notna(null) else 0.0)
    if claim.sign > 0:
        return "**yes**" if low > most_of_equals else "**no**" if high < 0 else "not shown"
    return "**yes**" if value <= most_of_equals else "**no**" if low > most_of_equals else "not shown"


def _name(reading: Reading) -> str:
    printed = " (as printed)" if reading == Reading("linear", "linear") else ""
    return f"{reading.interpolation} × {reading.scale}{printed}"


def filled(text: str, makers: dict[str, Callable[[], Iterator[str]]], name: str) -> str:
    """Make every block of a document anew; ValueError for a block that nobody makes."""

    def make(block: re.Match[str]) -> str:
        if block["name"] not in makers:
            raise ValueError(f"{name}: no numbers {block['name']!r}: there are {', '.join(makers)}")
        return "\n".join([f"<!-- numbers: {block['name']} -->", *makers[block["name"]](), "<!-- end -->", ""])

    return BLOCK.sub(make, text)


def main(arguments: list[str]) -> int:
    """Write the documents, or with --check say which of them are not as they would be written."""
    check, paths = "--check" in arguments, [Path(argument) for argument in arguments if argument != "--check"]
    numbers, stale = Numbers(paths[0], paths[1]), []
    makers = {
        "size": numbers.size, "first-page": numbers.first_page, "full-length": numbers.full_length,
        "claims": numbers.claims, "readings": numbers.readings,
    }  # fmt: skip
    for path in paths[2:]:
        old = path.read_text(encoding="utf-8")
        new = filled(old, makers, str(path))
        if check and new != old:
            stale.append(str(path))
        elif not check:
            path.write_text(new, encoding="utf-8")
    if stale:
        print(f"stale numbers: {', '.join(stale)}: run `make docs`", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
