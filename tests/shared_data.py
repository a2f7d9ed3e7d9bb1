"""Where the real benchmark rows lie, for the tests that grade or render them. They are never part of the project."""

from __future__ import annotations

import os
from pathlib import Path


def shared_rows(name: str) -> Path | None:
    """Path of `name` (such as "math_500/test.jsonl") in the shared data, or None where it is absent."""
    root = os.environ.get("HYPERSCALE_SHARED_DATA")
    folder = Path(root) if root else Path(__file__).resolve().parents[2] / "shared" / "data"
    path = folder / name
    return path if path.is_file() else None
