"""What runs on a cluster's workers: a shard's samples, from the model into storage, past the driver."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from hyperscale import __version__
from hyperscale.config import SweepConfig, stable_hash
from hyperscale.executors.base import InProcess
from hyperscale.executors.cluster import Needs
from hyperscale.executors.shards import Shard, without
from hyperscale.grid import Run
from hyperscale.results.incoming import IncomingWriter
from hyperscale.results.manifest import check_identity
from hyperscale.rows import Row

P = ParamSpec("P")
T = TypeVar("T")

Build = Callable[[SweepConfig, Needs], Any]
"""Makes the executor that generates in a worker's process."""

FLUSH_SECONDS = 10.0
FLUSH_ROWS = 64
"""Samples reach storage after so long, or so many: what a dead worker had not written is generated again."""

_held: dict[str, Any] = {}
"""The executor of this process, by the hash of its config: tasks that follow each other share a model."""


def _not_used_again(task: Callable[P, T]) -> Callable[P, T]:
    """End a worker whose task was cancelled: nobody is to go on with what that broke off, an import perhaps."""

    @wraps(task)
    def ending(*arguments: P.args, **named: P.kwargs) -> T:
        try:
            return task(*arguments, **named)
        except KeyboardInterrupt:
            os._exit(1)

    return ending


@dataclass(frozen=True)
class Order:
    """All that a worker must know besides its shard."""

    config: SweepConfig
    needs: Needs
    build: Build
    version: str = __version__


def build_in_process(config: SweepConfig, needs: Needs) -> InProcess:
    """What a sweep on one machine would generate with, kept to what the shard was promised."""
    from hyperscale.executors import in_process_class

    if config.engine == "torch":
        _use_cores(int(needs.cpus))
        config = _fitted(config, needs)
    return in_process_class(config)(config)


@_not_used_again
def describe(order: Order, run: Run | None) -> dict[str, Any]:
    """Identity of the model, or of the checkpoint that a run has of its own."""
    executor = _executor(order)
    return dict(executor.identity() if run is None else executor.run_identity(run))


@_not_used_again
def generate(order: Order, shard: Shard, identity: dict[str, Any], of_run: dict[str, Any]) -> int:
    """Store what a shard lacks, and say how many samples that were. Runs again where an attempt before it broke off.

    ValueError where this worker's model is not the one that the sweep began with.
    """
    writer = IncomingWriter(order.config.output_dir, shard.name)
    left = without(shard.assignment, writer.done())
    if not left.jobs and not left.cut:
        return 0
    executor = _executor(order)
    check_identity({"model": identity}, {"model": executor.identity()})
    check_identity({left.run.name: of_run}, {left.run.name: executor.run_identity(left.run)})
    rows: list[Row] = []
    stored, due = 0, time.monotonic() + FLUSH_SECONDS
    try:
        for delivery in executor.generate([left]):
            rows += delivery.rows()
            if len(rows) >= FLUSH_ROWS or time.monotonic() >= due:
                stored += _flush(writer, rows)
                due = time.monotonic() + FLUSH_SECONDS
    finally:
        stored += _flush(writer, rows)
    return stored


def _flush(writer: IncomingWriter, rows: list[Row]) -> int:
    count = len(rows)
    if rows:
        writer.append(rows)
        rows.clear()
    return count


def _executor(order: Order) -> Any:
    if order.version != __version__:
        raise ValueError(
            f"a node of the cluster has hyperscale {__version__}, the sweep {order.version}: install the same"
        )
    key = stable_hash(order.config.model_dump(mode="json", exclude={"output_dir"}))
    if key not in _held:
        _held.clear()  # Its memory is needed.
        _held[key] = order.build(order.config, order.needs)
    return _held[key]


def _use_cores(cores: int) -> None:
    """As many threads as cores were promised, whatever the node has: a sample's last bits can depend on it."""
    import numba
    import torch

    torch.set_num_threads(cores)
    numba.set_num_threads(min(cores, numba.config.NUMBA_NUM_THREADS))


def _fitted(config: SweepConfig, needs: Needs) -> SweepConfig:
    """The config with a memory budget that leaves the shards beside this one theirs."""
    if config.memory_budget is not None or needs.share >= 1:
        return config
    import torch

    from hyperscale.engines.memory import free_bytes

    device = torch.device("cuda" if needs.gpus else "cpu")
    return config.model_copy(update={"memory_budget": max(1, int(free_bytes(device) * needs.share))})
