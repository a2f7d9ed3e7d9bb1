"""Where the SmolLM2-135M file lies, for the tests of a real model. `make` puts it there."""

from __future__ import annotations

import os
from pathlib import Path


def smollm2_path() -> Path | None:
    """Path of the GGUF file, or None where it is absent."""
    named = os.environ.get("HYPERSCALE_SMOLLM2")
    default = Path(__file__).resolve().parents[1] / ".models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
    path = Path(named) if named else default
    return path if path.is_file() else None
