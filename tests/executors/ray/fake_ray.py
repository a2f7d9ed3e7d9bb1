"""The Ray executor around the fake one, and what goes wrong in its workers, told by files beside the results folder.

`slow`: seconds a chain; `deadly`: the process of whoever takes the file away ends; `hopeless`: every process ends;
`broken`: name of what a worker raises; `heavy`: characters of a sample's text; `doomed`: id of a node that all others
let go ahead. Which node made which thread is in `nodes`. Run as a program it sweeps, for tests that kill
the driver: `python -m tests.executors.ray.fake_ray CONFIG.json`.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import ray
from rich.console import Console

from hyperscale.config import SweepConfig, make_config
from hyperscale.engines.base import Chain, Job
from hyperscale.executors.base import ModelIdentity
from hyperscale.executors.ray import driver as executor
from hyperscale.executors.ray.cluster import Needs
from hyperscale.executors.ray.driver import RayExecutor
from hyperscale.plan.resolve import Plan, resolve
from hyperscale.plan.runs import Run
from hyperscale.sweep.progress import Lines
from hyperscale.sweep.run import Report, sweep
from hyperscale.tasks.task import Problem
from tests.fakes import FakeEngine, FakeExecutor, no_spec

DEADLY_AFTER = 3
MISTAKES = {
    "value": ValueError("the model's logits are not finite"),
    "permission": PermissionError(13, "Permission denied", "/data"),
    "package": ModuleNotFoundError("No module named 'numba'"),
}


class TroubledEngine(FakeEngine):
    def __init__(self, seed: int, folder: Path) -> None:
        slow = folder / "slow"
        super().__init__(seed, folder / "log", float(slow.read_text()) if slow.exists() else 0.0)
        self._folder = folder

    def generate(self, jobs: Iterable[Job]) -> Iterator[Chain]:
        if (self._folder / "broken").exists():
            raise MISTAKES[(self._folder / "broken").read_text()]
        node = ray.get_runtime_context().get_node_id()
        for index, chain in enumerate(super().generate(jobs)):
            if (self._folder / "hopeless").exists() or (index == DEADLY_AFTER and _taken(self._folder / "deadly")):
                os.kill(os.getpid(), signal.SIGKILL)
            with (self._folder / "nodes").open("a") as log:
                log.write(json.dumps([node, chain.problem_id, chain.thread]) + "\n")
            yield chain
            self._let_ahead(node)

    def _let_ahead(self, node: str) -> None:
        """Wait until the node that is to die has begun a shard; on that node for its end."""
        while doomed := _text(self._folder / "doomed"):
            begun = doomed in _text(self._folder / "nodes")
            if begun != (doomed == node):
                return
            time.sleep(0.02)


def _text(path: Path) -> str:
    """Empty where it is not there, or not any more."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def _taken(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


class TroubledExecutor(FakeExecutor):
    def engine(self, run: Run) -> FakeEngine:
        return TroubledEngine(self._config.seed, Path(self._config.output_dir).parent)

    def identity(self) -> ModelIdentity:
        other = (Path(self._config.output_dir).parent / "other-weights").exists()
        return {**super().identity(), "weights_sha": "other" if other else "fake"}

    def text(self, tokens: Sequence[int]) -> tuple[str, list[int]]:
        heavy = Path(self._config.output_dir).parent / "heavy"
        text, ends = super().text(tokens)
        more = secrets.token_hex(int(heavy.read_text()) // 2) if heavy.exists() else ""
        return text + more, ends


def build(plan: Plan, needs: Needs) -> FakeExecutor:
    return TroubledExecutor(plan)


class FakeRay(RayExecutor):
    build = staticmethod(build)

    @staticmethod
    def encoder(config: SweepConfig) -> tuple[Callable[[Problem], tuple[int, ...]], str | None]:
        return FakeExecutor(Plan(config)).prompt_tokens, None


def run_fake_ray(config: SweepConfig) -> Report:
    return sweep(resolve(config, no_spec), FakeRay, Lines(Console(file=sys.stderr)))


if __name__ == "__main__":
    executor.FLUSH_SECONDS, executor.POLL_SECONDS = 0.0, 0.2
    report = run_fake_ray(make_config(**json.loads(Path(sys.argv[1]).read_text())))
    sys.exit(130 if report.interrupted else 0)
