"""Tasks that run on a cluster's workers: generate a shard's samples and write them to storage."""

from __future__ import annotations

import os
import pickle
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from hyperscale import __version__
from hyperscale.config import SweepConfig, stable_hash
from hyperscale.engines.base import WeightsIdentity
from hyperscale.executors.base import Executor, ModelIdentity
from hyperscale.executors.ray.cluster import Needs
from hyperscale.executors.ray.shards import Shard, Stored, without
from hyperscale.model.source import checkpoint_of
from hyperscale.plan.resolve import Plan
from hyperscale.plan.runs import Run
from hyperscale.plugins import Origin
from hyperscale.results.incoming import IncomingWriter
from hyperscale.results.manifest import check_identity
from hyperscale.results.rows import Row

P = ParamSpec("P")
T = TypeVar("T")

Build = Callable[[Plan, Needs], Executor]
"""Makes the executor of a worker's process."""

FLUSH_ROWS = 64
"""Most samples that a worker holds before it writes them."""

_held: dict[str, Executor] = {}
"""The executor of this process, by the hash of its config: successive tasks on a CPU share a model.

Ray ends a process with a GPU after each task, as the next may get another GPU.
"""


@dataclass(frozen=True)
class Order:
    """Everything that a worker needs besides its shard."""

    config: SweepConfig
    runs: bytes
    """The plan's runs, pickled: a worker unpickles them where its errors are told as a user's."""
    engine: Origin | None
    """Where a plugin's engine comes from."""
    needs: Needs
    build: Build
    flush_seconds: float
    version: str = __version__
    host: str = field(default_factory=socket.gethostname)
    """The driver's machine."""


def _task(task: Callable[Concatenate[Order, P], T]) -> Callable[Concatenate[Order, P], T]:
    """Turn errors that a user can mend into a ValueError that names the machine, and end a cancelled worker.

    A cancelled process is not used again: the signal may have interrupted an import.
    """

    @wraps(task)
    def guarded(order: Order, /, *arguments: P.args, **named: P.kwargs) -> T:
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

    return guarded


def build_in_process(plan: Plan, needs: Needs) -> Executor:
    """Make the executor of a sweep on one machine, within the resources that the shard reserves."""
    config = plan.config
    if config.engine == "torch":
        from hyperscale.executors.local import LocalExecutor

        _use_cores(int(needs.cpus))
        return LocalExecutor(plan, share=needs.share)
    from hyperscale.executors.served import ServedExecutor

    part = {"gpu_memory_utilization": config.gpu_memory_utilization * needs.share} if needs.gpus else {}
    return ServedExecutor(replace(plan, config=config.model_copy(update=part)))


@_task
def describe(order: Order, run: bytes | None) -> ModelIdentity | WeightsIdentity:
    """Return the identity of the model, or of the checkpoint of a pickled run."""
    executor = _executor(order)
    return executor.identity() if run is None else executor.run_identity(_here(order, pickle.loads(run)))


@_task
def generate(order: Order, pickled: bytes, identity: ModelIdentity, of_run: WeightsIdentity) -> Stored:
    """Generate and store the missing samples of a pickled shard; return its parts. Resumes after an earlier attempt.

    ValueError where this worker's model, or a plugin, is not that of the sweep.
    """
    shard: Shard = pickle.loads(pickled)
    writer = IncomingWriter(order.config.output_dir, shard.name)
    done, parts = writer.done()
    left = without(shard.assignment, done)
    if not left.jobs and not left.no_room:
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
    """Locate the run's checkpoint on this machine: a family's folder may differ from the driver's."""
    found = checkpoint_of(order.config.model, run.backend, run.compression_ratio)
    return replace(run, checkpoint=None if found == order.config.model else found)


def _flush(writer: IncomingWriter, rows: list[Row], parts: list[str]) -> None:
    if rows:
        parts.append(writer.append(rows).name)
        rows.clear()


def _executor(order: Order) -> Executor:
    if order.version != __version__:
        raise ValueError(
            f"a node of the cluster has hyperscale {__version__}, the sweep {order.version}: install one version"
        )
    key = stable_hash(order.config.model_dump(mode="json", exclude={"output_dir"}))
    if key not in _held:
        _held.clear()  # Free its memory for the next.
        engine = Plan(order.config).engine_origin
        if engine != order.engine:
            raise ValueError(
                f"--engine {order.config.engine} is {engine} here, but the sweep was planned with {order.engine}"
            )
        runs = tuple(_here(order, run) for run in pickle.loads(order.runs))
        _held[key] = order.build(Plan(order.config, runs), order.needs)
    return _held[key]


def _use_cores(cores: int) -> None:
    """Use exactly the reserved cores, whatever the node has: a sample's last bits can depend on the thread count."""
    import numba
    import torch

    torch.set_num_threads(cores)
    numba.set_num_threads(min(cores, numba.config.NUMBA_NUM_THREADS))
