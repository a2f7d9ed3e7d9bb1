from __future__ import annotations

import subprocess
import sys
from dataclasses import fields

from hyperscale.hardware.roofline import Ceiling
from hyperscale.results.schema import (
    GRADE_KEY,
    OUTCOME_KEY,
    POINT_KEY,
    ROOFLINE_COLUMNS,
    SAMPLE_KEY,
    STEP_COLUMNS,
    STEP_THREADS,
    TABLES,
    arrow_schema,
)


def test_fields_carry_their_unit_and_meaning() -> None:
    for table, columns in TABLES.items():
        schema = arrow_schema(table)
        assert len(set(schema.names)) == len(columns)
        for column in columns:
            metadata = schema.field(column.name).metadata
            assert metadata == {b"unit": column.unit.encode(), b"meaning": column.meaning.encode()}


def test_keys_are_columns() -> None:
    keys = {"samples": SAMPLE_KEY, "grades": GRADE_KEY, "outcomes": OUTCOME_KEY, "points": POINT_KEY}
    for table, key in keys.items():
        assert set(key) <= set(arrow_schema(table).names)


def test_the_roofline_s_columns_are_the_fields_of_a_ceiling() -> None:
    assert tuple(field.name for field in fields(Ceiling)) == ROOFLINE_COLUMNS


def test_every_column_with_an_entry_a_step_is_named_once() -> None:
    assert {name for name in arrow_schema("samples").names if name.startswith("step_")} == {*STEP_COLUMNS, STEP_THREADS}


def test_the_schema_needs_no_heavy_import() -> None:
    code = "import sys, hyperscale.results.schema as _; print({'torch', 'transformers', 'datasets'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
