"""Measure latency as `hyperscale latency` is asked to, and print the table on stdout."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from hyperscale.cli.options import latency_config
from hyperscale.plan.resolve import resolve
from hyperscale.sweep.progress import make_progress
from hyperscale.sweep.remeasure import measure_folder, measure_model
from hyperscale.text import format_tokens


def measure_and_print(results: str | None, typed: Mapping[str, Any]) -> None:
    """Measure a results folder's runs, or without one those of the typed flags, and print the new rows."""
    config = latency_config(results, typed)
    with make_progress() as progress:
        found = (measure_model if results is None else measure_folder)(resolve(config), progress.say)
    print_latency(found, config.output_dir)


def print_latency(table: pd.DataFrame, folder: Path) -> None:
    """Print each run's seconds of a step and a prefill, with their quartiles and the roofline's, and where they are."""
    console = Console(highlight=False, markup=False, emoji=False)
    keys = ["backend", "compression_ratio", "cache_budget"]
    for _, rows in table.groupby(keys, dropna=False, sort=False):
        backend, ratio, budget = rows[keys].iloc[0]
        setting = f" B {format_tokens(int(budget))}" if not pd.isna(budget) else f" CR {ratio:g}" if ratio != 1 else ""
        shown = Table(title=f"{backend}{setting}", title_justify="left")
        for column in ("", "batch", "context", "row tokens", "ms", "quartiles", "roofline ms"):
            shown.add_column(column, justify="right")
        for row in rows.to_dict("records"):
            shown.add_row(
                row["kind"],
                str(row["batch"]),
                format_tokens(row["context"]),
                "" if pd.isna(row["row_tokens"]) else f"{row['row_tokens']:,.0f}",
                f"{row['seconds'] * 1e3:.3g}",
                f"{row['seconds_low'] * 1e3:.3g} to {row['seconds_high'] * 1e3:.3g}" + "*" * row["disturbed"],
                f"{row['roofline_seconds'] * 1e3:.3g}",
            )
        console.print(shown)
    if table["disturbed"].any():
        console.print("*: rounds differ by more than 20 %", soft_wrap=True)
    console.print(f"latency: {folder}/latency.parquet", soft_wrap=True)
