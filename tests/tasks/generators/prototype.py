"""Texts of the prototype that a model was trained with: what the package writes must not part from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

RECORDS: list[dict[str, Any]] = [
    json.loads(line) for line in Path(__file__).with_name("prototype.jsonl").read_text().splitlines()
]
"""kind, seed, split, index, prompt, chain; of some, the token ids of both."""


def records(*kinds: str) -> list[Any]:
    """Records of these kinds as parameters with a readable id."""
    return [
        pytest.param(record, id="-".join(str(record[key]) for key in ("kind", "split", "seed", "index")))
        for record in RECORDS
        if record["kind"] in kinds
    ]
