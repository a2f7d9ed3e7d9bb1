from __future__ import annotations

from pathlib import Path

from hyperscale.results.docs import render
from hyperscale.results.schema import TABLES

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "results.md"


def test_the_document_is_up_to_date() -> None:
    remedy = "stale: python -m hyperscale.results.docs > docs/results.md"
    assert DOCUMENT.read_text(encoding="utf-8") == render(), remedy


def test_every_column_is_documented_once_in_its_table() -> None:
    sections = dict(section.split("\n", 1) for section in render().split("\n## ")[1:])
    assert list(sections) == list(TABLES)
    for table, columns in TABLES.items():
        rows = [line for line in sections[table].splitlines() if line.startswith("| `")]
        assert [line.split("`")[1] for line in rows] == [column.name for column in columns]
        for column in columns:
            assert column.meaning.endswith("."), (table, column.name)
