"""Run on many GPUs and machines: shards as Ray tasks, whose workers write samples to storage themselves.

Only a shard's prompts and the names of its parts pass through the driver and Ray's object store. Ray replaces a dead
worker or node: the shard runs again elsewhere and resumes from its stored samples.
"""

from __future__ import annotations

import os
import pickle
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from hyperscale.config import SweepConfig
from hyperscale.engines.base import WeightsIdentity
from hyperscale.executors.base import Assignment, Delivery, ModelIdentity
from hyperscale.executors.local import LocalExecutor
from hyperscale.executors.ray import shards, worker
from hyperscale.executors.ray.cluster import Needs, Outlook, connect, needs, nodes, require_ray
from hyperscale.executors.ray.shards import Shard, Stored, TrackedShard
from hyperscale.hardware.devices import THIS
from hyperscale.model.chat import encode_prompt
from hyperscale.model.source import EMBEDDED, local_path
from hyperscale.plan.resolve import Plan
from hyperscale.plan.runs import Run
from hyperscale.plugins import anchored
from hyperscale.process import provenance
from hyperscale.process.provenance import Hardware
from hyperscale.storage.remote import is_local
from hyperscale.tasks.task import Problem

POLL_SECONDS = 2.0
"""Seconds between two looks for new samples in storage while no shard ends."""
RETRIES = 3
"""Times that Ray retries a shard whose worker or node died."""
FRUITLESS = 2
"""Rounds of RETRIES without a new sample after which a shard fails the sweep."""
FLUSH_SECONDS = 10.0
"""Most seconds before a worker writes finished samples: those not yet written are lost with it, and made again."""
CANCEL_SECONDS = 10.0
"""Seconds that an interrupted sweep waits for its workers to store finished samples."""
WAITING = 2
"""Shards queued in Ray for each that runs, so that no worker waits for the driver."""


class RayExecutor:
    """A plan's tokenizer and its Ray cluster; workers load the models."""

    concurrent = True
    build: ClassVar[Any] = staticmethod(worker.build_in_process)
    """Makes the executor in a worker: see `worker.Build`."""

    def __init__(self, plan: Plan) -> None:
        """Load the tokenizer and connect to the cluster. ValueError where either fails, or no node can run a shard."""
        import ray

        self._encode, revision = self.encoder(plan.config)
        connect(plan.config.ray_address)
        self._needs = needs(plan.config, nodes())
        self._config = _for_workers(plan, revision, self._needs)
        self._order = worker.Order(
            self._config, pickle.dumps(plan.runs), plan.engine_origin, self._needs, type(self).build, FLUSH_SECONDS
        )
        self._identity: ModelIdentity | None = None
        self._of_runs: dict[Run, WeightsIdentity] = {}
        resources: dict[str, Any] = {"num_cpus": self._needs.cpus, "num_gpus": self._needs.gpus, "max_retries": RETRIES}
        self._describe = ray.remote(**resources)(worker.describe)
        self._generate = ray.remote(**resources)(worker.generate)

    @staticmethod
    def check(plan: Plan, *, needed: bool) -> None:
        """Raise ValueError where Ray is missing, --device names one GPU, or the model is `needed` and not found."""
        require_ray()
        if plan.config.device.startswith("cuda:"):
            raise ValueError(f"--device {plan.config.device}: Ray chooses each shard's GPU; name cuda")
        LocalExecutor.check(plan, needed=needed)

    @staticmethod
    def encoder(config: SweepConfig) -> tuple[Callable[[Problem], tuple[int, ...]], str | None]:
        """Load a tokenizer of prompts, without the weights; return it with the hub's commit."""
        from hyperscale.model.load import load_text

        text = load_text(config.model, config.revision)
        return lambda problem: tuple(encode_prompt(text.tokenizer, problem.prompt, problem.system)), text.revision

    def identity(self) -> ModelIdentity:
        """Return the identity of the model, from a worker that loads it; ask once."""
        if self._identity is None:
            found: ModelIdentity = self._result(self._describe.remote(self._order, None))
            self._identity = found
        return self._identity

    def run_identity(self, run: Run) -> WeightsIdentity:
        """Return the identity of the run's own checkpoint, from a worker; {} without one."""
        if run.checkpoint is None:
            return {}
        if run not in self._of_runs:
            self._of_runs[run] = self._result(self._describe.remote(self._order, pickle.dumps(run)))
        return self._of_runs[run]

    def prompt_tokens(self, problem: Problem) -> tuple[int, ...]:
        """Tokenize the problem's chat prompt."""
        return self._encode(problem)

    def generate(self, assignments: Sequence[Assignment]) -> Iterator[Delivery]:
        """Yield every sample by the part that holds it; once a shard is whole, its parts as `closed`."""
        sizes = zip(assignments, self._sizes(assignments), strict=True)
        waiting = deque(TrackedShard(shard) for assignment, size in sizes for shard in shards.split(assignment, size))
        submitted: dict[Any, TrackedShard] = {}
        ended: list[TrackedShard] = []
        fruitless: Counter[str] = Counter()
        outlook = Outlook(self._config)
        try:
            while waiting or submitted or ended:
                while waiting and len(submitted) < (1 + WAITING) * self._needs.shards_at_once:
                    tracked = waiting.popleft()
                    submitted[self._submit(tracked.shard)] = tracked
                for ref in self._wait(list(submitted)):
                    tracked = submitted.pop(ref)
                    known = len(tracked.seen)
                    stored = self._outcome(ref)
                    if stored is not None:
                        tracked.end(stored)
                    yield from self._new(tracked)
                    if stored is not None:
                        ended.append(tracked)
                        continue
                    fruitless[tracked.shard.name] = (
                        0 if len(tracked.seen) > known else fruitless[tracked.shard.name] + 1
                    )
                    if fruitless[tracked.shard.name] >= FRUITLESS:
                        raise ValueError(_failed(tracked.shard))
                    waiting.appendleft(tracked)
                for tracked in [*submitted.values(), *ended]:
                    yield from self._new(tracked)
                for tracked in [tracked for tracked in ended if tracked.is_whole(self._config.output_dir)]:
                    ended.remove(tracked)
                    yield Delivery(tracked.shard.assignment.run_id, closed=tuple(sorted(tracked.seen)))
                outlook.look(nodes(), time.monotonic())
        finally:
            self._cancel(list(submitted))

    def hardware(self) -> Hardware:
        """Describe this process's machine and the cluster's nodes."""
        found = provenance.hardware()
        found["nodes"] = [dict(node) for node in nodes()]
        found["shards_at_once"] = self._needs.shards_at_once
        return found

    def _sizes(self, assignments: Sequence[Assignment]) -> list[int]:
        """Choose the problems in a shard of each: --shard-problems, else by `plan.cost.shard_sizes`."""
        if self._config.shard_problems is not None:
            return [self._config.shard_problems] * len(assignments)
        from hyperscale.plan.cost import Assumptions, shard_problems, shard_sizes

        assumed = Assumptions(accelerator=None if self._needs.gpus else THIS)
        most = [shard_problems(self._config, assignment.run, assumed) for assignment in assignments]
        return shard_sizes([len(assignment.problems) for assignment in assignments], most, self._needs.shards_at_once)

    def _submit(self, shard: Shard) -> Any:
        run = shard.assignment.run
        return self._generate.remote(self._order, pickle.dumps(shard), self.identity(), self.run_identity(run))

    def _wait(self, refs: list[Any]) -> list[Any]:
        """Wait for a task to end, at most POLL_SECONDS; return those that have."""
        import ray

        if not refs:
            time.sleep(POLL_SECONDS)
            return []
        ended, _ = ray.wait(refs, num_returns=1, timeout=POLL_SECONDS)
        return list(ended)

    def _new(self, tracked: TrackedShard) -> Iterator[Delivery]:
        """Yield a shard's parts that are new in storage."""
        for part in tracked.new(self._config.output_dir):
            yield Delivery(tracked.shard.assignment.run_id, stored=part)

    def _outcome(self, ref: Any) -> Stored | None:
        """Return a finished shard's parts; None where its worker died on every retry. Errors of the task are raised."""
        from ray.exceptions import NodeDiedError, OutOfMemoryError, WorkerCrashedError

        try:
            found: Stored = self._result(ref)
        except (NodeDiedError, OutOfMemoryError, WorkerCrashedError):
            return None
        return found

    def _result(self, ref: Any) -> Any:
        """Return a task's result. ValueError, without the worker's traceback, for an error that a user can mend."""
        import ray
        from ray.exceptions import RayTaskError, RuntimeEnvSetupError

        try:
            return ray.get(ref)
        except RayTaskError as error:
            if isinstance(error.cause, ValueError):
                raise ValueError(str(error.cause)) from None
            if isinstance(error.cause, ImportError):
                raise ValueError(
                    f"a node of the cluster lacks a package ({error.cause}): pip install 'hyperscale[ray]' on each"
                ) from None
            raise
        except RuntimeEnvSetupError as error:
            raise ValueError(f"a worker's environment could not be set up: {' '.join(str(error).split())}") from None
        except KeyboardInterrupt:
            ray.cancel(ref)
            raise

    def _cancel(self, refs: list[Any]) -> None:
        """Cancel tasks; their workers store finished samples."""
        import ray

        for ref in refs:
            ray.cancel(ref)
        if refs:
            ray.wait(refs, num_returns=len(refs), timeout=CANCEL_SECONDS)


def _for_workers(plan: Plan, revision: str | None, needs: Needs) -> SweepConfig:
    """Make the config independent of this process's folder and device, and pin the hub's commit."""
    config = plan.config
    update: dict[str, Any] = {"revision": None if plan.family is not None else revision}
    # Links are kept: another node may resolve them differently.
    if local_path(config.model).exists() and config.model not in EMBEDDED:
        update["model"] = os.path.abspath(local_path(config.model))
    if is_local(config.output_dir):
        update["output_dir"] = Path(os.path.abspath(config.output_dir))
    update["engine"] = anchored(config.engine, Path.cwd())
    if config.engine == "torch":
        # A node may have GPUs that the shard did not reserve.
        update["device"] = "cuda" if needs.gpus else "cpu"
    return config.model_copy(update=update)


def _failed(shard: Shard) -> str:
    """Say that a shard's workers died too often, and what to do."""
    problems = ", ".join(sorted(shard.assignment.problems)[:3])
    return (
        f"the shard of {shard.assignment.run.name} with {problems}, ... ended its worker {FRUITLESS * (RETRIES + 1)} "
        "times without a new sample: out of memory? Lower --memory-budget, --max-batch or --shard-problems. Finished "
        "samples are saved"
    )
