"""Where a virtual environment with vLLM lies. It has one of its own: its pins are not the project's."""

from __future__ import annotations

import os
from pathlib import Path

VLLM_PYTHON = "HYPERSCALE_VLLM_PYTHON"
"""Names the environment's python, if it is not the one that `make vllm-venv` makes."""

QUIRKS = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "2",
}
"""Environment of vLLM on a small machine without a GPU: 1 GiB of cache, and cores that are shared with others."""


def vllm_python() -> Path | None:
    """Path of a python that has vLLM, or None where there is none. ValueError if the one that is named is not there."""
    named = os.environ.get(VLLM_PYTHON)
    path = Path(named) if named else Path(__file__).resolve().parents[2] / ".venv-vllm" / "bin" / "python"
    if named and not path.is_file():
        raise ValueError(f"{VLLM_PYTHON}={named}: no such file")
    return path if path.is_file() else None
