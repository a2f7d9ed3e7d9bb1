"""Runs on many GPUs and machines: shards as Ray tasks, whose samples go from the worker to storage.

Through the driver, and Ray's object store, go only a shard's prompts and a count. A worker or node that dies is Ray's
to replace: its shard runs again elsewhere and goes on from what it had stored.
"""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from hyperscale.config import SweepConfig
from hyperscale.executors.base import Assignment, Delivery
from hyperscale.executors.local import LocalExecutor
from hyperscale.executors.ray import shards, worker
from hyperscale.executors.ray.cluster import Needs, Outlook, connect, needs, nodes, require_ray
from hyperscale.executors.ray.flight import Flight
from hyperscale.executors.ray.shards import Shard
from hyperscale.executors.ray.worker import Stored
from hyperscale.hardware.devices import THIS
from hyperscale.model.chat import encode_prompt
from hyperscale.model.family import EMBEDDED, local_path
from hyperscale.plan.resolve import Plan
from hyperscale.plan.runs import Run
from hyperscale.plugins import anchored
from hyperscale.process import provenance
from hyperscale.storage.files import is_local
from hyperscale.tasks.task import Problem

POLL_SECONDS = 2.0
"""How often storage is asked for new samples while no shard ends."""
RETRIES = 3
"""Times that Ray runs a shard again whose worker or node died."""
FRUITLESS = 2
"""Rounds of these after which a shard that stored nothing new is given up."""
FLUSH_SECONDS = 10.0
"""Samples reach storage after so long, or when there are many: what a dead worker had not written is made again."""
CANCEL_SECONDS = 10.0
"""How long an interrupted sweep waits for its workers to store what had ended."""
WAITING = 2
"""Shards that wait in Ray's queue, for each that runs: so that none waits for the driver."""


class RayExecutor:
    """Holds the tokenizer; the models are the workers'."""

    concurrent = True
    build: ClassVar[Any] = staticmethod(worker.build_in_process)
    """What generates in a worker."""

    def __init__(self, plan: Plan) -> None:
        import ray

        self._encode, revision = self.encoder(plan.config)
        connect(plan.config.ray_address)
        self._needs = needs(plan.config, nodes())
        self._config = _for_workers(plan, revision, self._needs)
        self._order = worker.Order(self._config, self._needs, type(self).build, FLUSH_SECONDS)
        self._identity: dict[str, Any] | None = None
        self._of_runs: dict[Run, dict[str, Any]] = {}
        resources: dict[str, Any] = {"num_cpus": self._needs.cpus, "num_gpus": self._needs.gpus, "max_retries": RETRIES}
        self._describe = ray.remote(**resources)(worker.describe)
        self._generate = ray.remote(**resources)(worker.generate)

    @staticmethod
    def check(plan: Plan, *, needed: bool) -> None:
        """ValueError if the model's own config rules the sweep out, or Ray is not there."""
        require_ray()
        if plan.config.device.startswith("cuda:"):
            raise ValueError(f"--device {plan.config.device}: Ray chooses each shard's GPU; name cuda")
        LocalExecutor.check(plan, needed=needed)

    @staticmethod
    def encoder(config: SweepConfig) -> tuple[Callable[[Problem], tuple[int, ...]], str | None]:
        """What tokenizes prompts, without the model's weights; and the hub's commit that it is of."""
        from hyperscale.model.load import load_text

        text = load_text(config.model, config.revision)
        return lambda problem: tuple(encode_prompt(text.tokenizer, problem.prompt, problem.system)), text.revision

    def identity(self) -> dict[str, Any]:
        """Asked of a worker, which loads the model."""
        if self._identity is None:
            self._identity = self._result(self._describe.remote(self._order, None))
        return self._identity

    def run_identity(self, run: Run) -> dict[str, Any]:
        """Asked of a worker where the run has a checkpoint of its own."""
        if run.checkpoint is None:
            return {}
        if run not in self._of_runs:
            self._of_runs[run] = self._result(self._describe.remote(self._order, run))
        return self._of_runs[run]

    def prompt_tokens(self, problem: Problem) -> tuple[int, ...]:
        """The problem's chat prompt, tokenized."""
        return self._encode(problem)

    def generate(self, assignments: Sequence[Assignment]) -> Iterator[Delivery]:
        """Every sample that is asked for, where it was stored; at last, for each shard, which parts make it up."""
        sizes = zip(assignments, self._sizes(assignments), strict=True)
        waiting = deque(Flight(shard) for assignment, size in sizes for shard in shards.cut(assignment, size))
        flying: dict[Any, Flight] = {}
        ended: list[Flight] = []
        fruitless: Counter[str] = Counter()
        outlook = Outlook(self._config)
        try:
            while waiting or flying or ended:
                while waiting and len(flying) < (1 + WAITING) * self._needs.slots:
                    flight = waiting.popleft()
                    flying[self._submit(flight.shard)] = flight
                for ref in self._wait(list(flying)):
                    flight = flying.pop(ref)
                    known = len(flight.seen)
                    stored = self._outcome(ref)
                    if stored is not None:
                        flight.end(stored)
                    yield from self._new(flight)
                    if stored is not None:
                        ended.append(flight)
                        continue
                    fruitless[flight.shard.name] = 0 if len(flight.seen) > known else fruitless[flight.shard.name] + 1
                    if fruitless[flight.shard.name] >= FRUITLESS:
                        raise ValueError(_given_up(flight.shard))
                    waiting.appendleft(flight)
                for flight in [*flying.values(), *ended]:
                    yield from self._new(flight)
                for flight in [flight for flight in ended if flight.is_whole(self._config.output_dir)]:
                    ended.remove(flight)
                    yield Delivery(flight.shard.assignment.run_id, closed=tuple(sorted(flight.seen)))
                outlook.look(nodes(), time.monotonic())
        finally:
            self._cancel(list(flying))

    def hardware(self) -> dict[str, Any]:
        """This process's machine, and what each node of the cluster gives."""
        return {**provenance.hardware(), "nodes": [dict(node) for node in nodes()], "shards_at_once": self._needs.slots}

    def _sizes(self, assignments: Sequence[Assignment]) -> list[int]:
        """Problems in a shard of each: as asked, else some twenty minutes' worth, yet shards for every worker."""
        if self._config.shard_problems is not None:
            return [self._config.shard_problems] * len(assignments)
        from hyperscale.plan.cost import Assumptions, shard_problems, shard_sizes

        assumed = Assumptions(accelerator=None if self._needs.gpus else THIS)
        most = [shard_problems(self._config, assignment.run, assumed) for assignment in assignments]
        return shard_sizes([len(assignment.problems) for assignment in assignments], most, self._needs.slots)

    def _submit(self, shard: Shard) -> Any:
        run = shard.assignment.run
        return self._generate.remote(self._order, shard, self.identity(), self.run_identity(run))

    def _wait(self, refs: list[Any]) -> list[Any]:
        """Tasks that have ended, after a while at most."""
        import ray

        if not refs:
            time.sleep(POLL_SECONDS)
            return []
        ended, _ = ray.wait(refs, num_returns=1, timeout=POLL_SECONDS)
        return list(ended)

    def _new(self, flight: Flight) -> Iterator[Delivery]:
        """Parts of a shard that came since it was last looked at."""
        for part in flight.new(self._config.output_dir):
            yield Delivery(flight.shard.assignment.run_id, stored=part)

    def _outcome(self, ref: Any) -> Stored | None:
        """What a shard left; None where its worker died as often as Ray tries. What it raised itself is raised here."""
        from ray.exceptions import NodeDiedError, OutOfMemoryError, WorkerCrashedError

        try:
            found: Stored = self._result(ref)
        except (NodeDiedError, OutOfMemoryError, WorkerCrashedError):
            return None
        return found

    def _result(self, ref: Any) -> Any:
        """A task's result. ValueError, without the worker's traceback, where a user can do something about its end."""
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
        """End tasks that nobody waits for any more; a worker then stores what had ended."""
        import ray

        for ref in refs:
            ray.cancel(ref)
        if refs:
            ray.wait(refs, num_returns=len(refs), timeout=CANCEL_SECONDS)


def _for_workers(plan: Plan, revision: str | None, needs: Needs) -> SweepConfig:
    """The config without what depends on where this process runs, or on when the hub is asked."""
    config = plan.config
    update: dict[str, Any] = {"revision": None if plan.family is not None else revision}
    # Links stay as they are: another node may reach the same place by another way.
    if local_path(config.model).exists() and config.model not in EMBEDDED:
        update["model"] = os.path.abspath(local_path(config.model))
    if is_local(config.output_dir):
        update["output_dir"] = Path(os.path.abspath(config.output_dir))
    update["engine"] = anchored(config.engine, Path.cwd())
    if config.engine == "torch":
        # A node may have GPUs that the shard was not promised.
        update["device"] = "cuda" if needs.gpus else "cpu"
    return config.model_copy(update=update)


def _given_up(shard: Shard) -> str:
    problems = ", ".join(sorted(shard.assignment.problems)[:3])
    return (
        f"the shard of {shard.assignment.run.name} with {problems}, ... ended its worker {FRUITLESS * (RETRIES + 1)} "
        "times without a sample more: out of memory? Lower --memory-budget, --max-batch or --shard-problems. What had "
        "ended is saved"
    )
