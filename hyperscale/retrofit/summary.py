"""Final report of `hyperscale retrofit` on stdout."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from hyperscale.model.gate_spec import GATES

if TYPE_CHECKING:
    from hyperscale.retrofit.run import Report


def print_report(report: Report) -> None:
    """Print the family, its members' KL and alpha, and the command that measures the last one."""
    console = Console(soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("checkpoint", "CR", "KL", "alpha", "target"):
        table.add_column(column, justify="left" if column == "checkpoint" else "right")
    for path, found in zip(report.checkpoints, report.reached, strict=True):
        ratio = json.loads((path / GATES).read_text(encoding="utf-8"))["ratio"]
        cells = ("?", "?", "?") if found is None else (f"{found.kl:.4f}", *(f"{share:.3f}" for share in found[1:]))
        table.add_row(path.name, f"{ratio:g}", *cells)
    if report.checkpoints:
        console.print(table)
    for path, found in zip(report.checkpoints, report.reached, strict=True):
        if found is not None and found.missed:
            console.print(f"warning: {found.warning(path.name)}", highlight=False)
    if report.interrupted:
        console.print("Stopped before the end: the state is saved. The same command resumes from it.")
    console.print(f"results: {report.folder}/ (log.parquet, run.json, cr-*/)", highlight=False)
    if report.checkpoints:
        last = report.checkpoints[-1]
        spec = json.loads((last / GATES).read_text(encoding="utf-8"))
        backend = "dmc" if spec["form"] == "dmc" else "dms"
        console.print(
            f"measure it: hyperscale sweep --model {last} --backends {backend} --cr {spec['ratio']:g} --tasks ...",
            highlight=False,
        )
