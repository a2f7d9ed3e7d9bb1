"""The examples of docs/extend.md, and sweeps with them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from textwrap import dedent
from typing import Any

from hyperscale.cli.main import run

DOC = (Path(__file__).resolve().parents[1] / "docs" / "extend.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^( *)```\w+ ?(\S*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
EXAMPLES = {name: dedent(text) for _, name, text in BLOCK.findall(DOC) if name}


def write_examples(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_text(EXAMPLES[name], encoding="utf-8")


def sweep(*more: str, code: int = 0) -> None:
    """The sweep of the recipe, on the CPU, into OUT of the working folder; later flags win."""
    grid = ("--limit", "2", "--widths", "1,2", "--lengths", "64,128")
    given = ("--model", "tiny", "--tasks", "countdown", *grid, "--device", "cpu", "--output-dir", "OUT")
    assert run(["sweep", *given, *more]) == code


def manifest(folder: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return read
