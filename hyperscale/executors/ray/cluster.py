"""Connect to a Ray cluster, and work out a shard's resources and the shards that run at once."""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from math import floor
from pathlib import Path
from typing import Any

from hyperscale.config import SweepConfig

Node = Mapping[str, float]
"""Resources of a node by Ray's names: CPU, GPU."""


_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # Under `uv run` Ray would copy the whole working folder, results and models, to every node.
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
}
"""Defaults of Ray's environment variables; the user's own win."""
_PROBE_SECONDS = 5.0
LOST_SECONDS = 600.0
"""Seconds that a sweep waits for lost nodes to be replaced."""
_NO_CLUSTER = "no Ray cluster answers there"
_WAY_OUT = (
    "Start one with `ray start --head`, or leave the flag out to use this machine alone. Put the token of a cluster "
    "that needs one into ~/.ray/auth_token or RAY_AUTH_TOKEN here, too"
)


@dataclass(frozen=True)
class Needs:
    """Resources that a shard reserves, and its share of a node's memory."""

    cpus: float
    gpus: float
    share: float
    """A shard's part, 0..1, of a GPU's memory; without GPUs of a node's."""
    shards_at_once: int
    """Shards that the cluster runs side by side."""


def require_ray() -> None:
    """Raise ValueError where Ray is not installed."""
    if find_spec("ray") is None:
        raise ValueError(
            "--executor ray needs Ray: pip install 'hyperscale[ray]', here and on every node of the cluster"
        )


def connect(address: str | None) -> None:
    """Join a cluster, or start one of this machine's cores and GPUs. ValueError where none answers at `address`.

    Without an address join RAY_ADDRESS, which Ray sets in its jobs. Ray installs signal handlers; the sweep's own are
    restored, so that Ctrl-C ends it cleanly.
    """
    if address is not None:
        _probe(address)
        _use_token()
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    import ray

    if ray.is_initialized():
        return
    logging.getLogger("ray").setLevel(logging.ERROR)
    own = address is None and "RAY_ADDRESS" not in os.environ
    with _own_signals():
        try:
            ray.init(address="local" if own else address, include_dashboard=False if own else None,
                     log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)  # fmt: skip
        except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
            reason = " ".join(str(error).split())
            if own:
                raise ValueError(f"--executor ray: no cluster could be started here ({reason})") from None
            named = f"--ray-address {address}" if address else f"RAY_ADDRESS={os.environ['RAY_ADDRESS']}"
            raise ValueError(f"{named}: {_NO_CLUSTER} ({reason}). {_WAY_OUT}") from None


def _probe(address: str) -> None:
    """Raise ValueError where nothing listens at host:port: Ray itself would retry for minutes."""
    host, mark, port = address.rpartition("://")[2].rpartition(":")
    if not mark or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PROBE_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ValueError(f"--ray-address {address}: {_NO_CLUSTER} ({error}). {_WAY_OUT}") from None


def _use_token() -> None:
    """Have Ray send the token stored here; by default it does so only for clusters that it discovers itself."""
    kept = Path.home() / ".ray" / "auth_token"
    if kept.is_file() or {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ):
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def nodes() -> list[Node]:
    """Return the resources of every live node."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def needs(config: SweepConfig, nodes: Sequence[Node]) -> Needs:
    """Work out a shard's resources; ValueError where no node has them, even when idle."""
    most_gpus = max((node.get("GPU", 0.0) for node in nodes), default=0.0)
    most_cpus = max((node.get("CPU", 0.0) for node in nodes), default=0.0)
    gpus = config.gpus_per_shard
    if gpus is None:
        gpus = 0.0 if config.device == "cpu" or not most_gpus else float(_devices(config))
    if gpus > 1 and gpus != int(gpus):
        raise ValueError(f"--gpus-per-shard {gpus:g}: above 1 name whole GPUs")
    if gpus and config.engine == "vllm" and gpus != _devices(config) and (_devices(config) > 1 or gpus > 1):
        raise ValueError(
            f"--gpus-per-shard {gpus:g}: vLLM uses as many GPUs as --tensor-parallel-size x --pipeline-parallel-size, "
            f"{_devices(config)}; leave it out"
        )
    if not gpus and config.device == "cuda":
        raise ValueError("--device cuda: no node of the cluster has a GPU; add one, or leave --device out")
    working = [node for node in nodes if node.get("CPU", 0.0) >= 1]
    cpus = config.cpus_per_shard or (1 if gpus else int(min((node["CPU"] for node in working), default=1)))
    able = [node for node in nodes if node.get("GPU", 0.0) >= gpus and node.get("CPU", 0.0) >= cpus]
    if not able:
        raise ValueError(
            f"a shard needs {gpus:g} GPUs and {cpus} cores of one node, and the cluster's largest nodes have "
            f"{most_gpus:g} and {most_cpus:g}: lower --gpus-per-shard, --tensor-parallel-size or --cpus-per-shard"
        )
    beside = [_fit(node, cpus, gpus) for node in able]
    share = min(gpus, 1.0) if gpus else 1 / max(beside)
    return Needs(float(cpus), gpus, share, sum(beside))


class Outlook:
    """Watches for a node that can run a sweep's shards: Ray itself would wait for ever, silently."""

    def __init__(self, config: SweepConfig) -> None:
        self._config = config
        self._lost_since: float | None = None

    def look(self, nodes: Sequence[Node], now: float) -> None:
        """Check the live nodes at `now`, in seconds; ValueError once none has sufficed for LOST_SECONDS."""
        try:
            needs(self._config, nodes)
            self._lost_since = None
        except ValueError as error:
            self._lost_since = now if self._lost_since is None else self._lost_since
            if now - self._lost_since > LOST_SECONDS:
                raise ValueError(f"for {LOST_SECONDS / 60:g} minutes now {error}. Finished samples are saved") from None


def _devices(config: SweepConfig) -> int:
    return config.tensor_parallel_size * config.pipeline_parallel_size


def _fit(node: Node, cpus: float, gpus: float) -> int:
    room = int(node["CPU"] // cpus)
    if not gpus:
        return room
    # A part of a GPU is one GPU's: two shards of 0.6 need two GPUs.
    fitting = int(node["GPU"]) * floor(1 / gpus + 1e-9) if gpus < 1 else int(node["GPU"] // gpus)
    return min(room, fitting)


@contextmanager
def _own_signals() -> Iterator[None]:
    try:
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        yield
    finally:
        for number, handler in before.items():
            _restore(number, handler)


def _restore(number: int, handler: Any) -> None:
    with suppress(ValueError):  # Off the main thread no handler was changed either.
        signal.signal(number, handler)
