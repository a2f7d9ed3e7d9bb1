"""What runs on a cluster's workers: a shard's samples, from the model into storage, past the driver."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from hyperscale import __version__
from hyperscale.config import SweepConfig, stable_hash
from hyperscale.executors.base import InProcess
from hyperscale.executors.ray.cluster import Needs
from hyperscale.executors.ray.shards import Shard, without
from hyperscale.model.family import checkpoint_of
from hyperscale.plan.resolve import Plan
from hyperscale.plan.runs import Run
from hyperscale.results.incoming import IncomingWriter
from hyperscale.results.manifest import check_identity
from hyperscale.results.sample import Row

P = ParamSpec("P")
T = TypeVar("T")

Build = Callable[[SweepConfig, Needs], Any]
"""Makes the executor that generates in a worker's process."""

FLUSH_ROWS = 64
"""Samples that wait in a worker at most."""

_held: dict[str, Any] = {}
"""The executor of this process, by the hash of its config: tasks that follow each other on a CPU share a model.

A process that had a GPU Ray ends after its task: the next one might be lent another.
"""


@dataclass(frozen=True)
class Order:
    """All that a worker must know besides its shard."""

    config: SweepConfig
    needs: Needs
    build: Build
    flush_seconds: float
    version: str = __version__
    host: str = field(default_factory=socket.gethostname)
    """The driver's machine."""


@dataclass(frozen=True)
class Stored:
    """What is left of a shard that was done."""

    parts: tuple[str, ...]
    """Names of all the parts that hold its samples."""
    host: str = field(default_factory=socket.gethostname)


def _task(task: Callable[Concatenate[Order, P], T]) -> Callable[Concatenate[Order, P], T]:
    """Tell a mistake that can be made good with the name of its machine, and end a worker whose task was cancelled.

    Nobody is to go on with what that broke off, an import perhaps.
    """

    @wraps(task)
    def told(order: Order, *arguments: P.args, **named: P.kwargs) -> T:
        try:
            return task(order, *arguments, **named)
        except KeyboardInterrupt:
            os._exit(1)
        except (ValueError, OSError, ImportError, RuntimeError) as error:
            out_of_memory = type(error).__name__ == "OutOfMemoryError"
            if isinstance(error, RuntimeError) and not out_of_memory:
                raise
            host = socket.gethostname()
            where = "" if host == order.host else f"on {host}: "
            kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
            more = ". Lower --memory-budget or --max-batch" if out_of_memory else ""
            raise ValueError(f"{where}{kind}{' '.join(str(error).split())}{more}") from None

    return told


def build_in_process(config: SweepConfig, needs: Needs) -> InProcess:
    """What a sweep on one machine would generate with, kept to what the shard was promised."""
    if config.engine == "torch":
        from hyperscale.executors.local import LocalExecutor

        _use_cores(int(needs.cpus))
        return LocalExecutor(Plan(config), share=needs.share)
    from hyperscale.executors.served import ServedExecutor

    part = {"gpu_memory_utilization": config.gpu_memory_utilization * needs.share} if needs.gpus else {}
    return ServedExecutor(Plan(config.model_copy(update=part)))


@_task
def describe(order: Order, run: Run | None) -> dict[str, Any]:
    """Identity of the model, or of the checkpoint that a run has of its own."""
    executor = _executor(order)
    return dict(executor.identity() if run is None else executor.run_identity(_here(order, run)))


@_task
def generate(order: Order, shard: Shard, identity: dict[str, Any], of_run: dict[str, Any]) -> Stored:
    """Store what a shard lacks, and say what makes it up. Runs again where an attempt before it broke off.

    ValueError where this worker's model is not the one that the sweep began with.
    """
    writer = IncomingWriter(order.config.output_dir, shard.name)
    done, parts = writer.done()
    left = without(shard.assignment, done)
    if not left.jobs and not left.cut:
        return Stored(tuple(parts))
    left = replace(left, run=_here(order, left.run))
    executor = _executor(order)
    check_identity({"model": identity}, {"model": executor.identity()})
    check_identity({left.run.name: of_run}, {left.run.name: executor.run_identity(left.run)})
    rows: list[Row] = []
    due = time.monotonic() + order.flush_seconds
    try:
        for delivery in executor.generate([left]):
            rows += delivery.rows()
            if len(rows) >= FLUSH_ROWS or time.monotonic() >= due:
                _flush(writer, rows, parts)
                due = time.monotonic() + order.flush_seconds
    finally:
        _flush(writer, rows, parts)
    return Stored(tuple(parts))


def _here(order: Order, run: Run) -> Run:
    """A run with its checkpoint as this machine finds it: a family may lie elsewhere than on the driver's."""
    found = checkpoint_of(order.config.model, run.backend, run.compression_ratio)
    return replace(run, checkpoint=None if found == order.config.model else found)


def _flush(writer: IncomingWriter, rows: list[Row], parts: list[str]) -> None:
    if rows:
        parts.append(writer.append(rows).name)
        rows.clear()


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
