"""An executor without a model: its chains are a pure function of (seed, task, problem, thread).

Run as a program it sweeps with that executor in its own process, for tests that kill it:
`python -m tests.fakes CONFIG.json LOG SECONDS_A_CHAIN`.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from hyperscale.config import SweepConfig, make_config
from hyperscale.engines.base import Chain, Job, WeightsIdentity
from hyperscale.executors.base import InProcess, ModelIdentity
from hyperscale.kvcache.shape import CacheShape
from hyperscale.model.spec import ModelSpec
from hyperscale.plan.resolve import Plan, resolve
from hyperscale.plan.runs import Run
from hyperscale.sweep import write_behind
from hyperscale.sweep.progress import Board, Lines
from hyperscale.sweep.run import Report, sweep
from hyperscale.tasks.task import Problem

write_behind.SECONDS = 0.0
"""What was drawn is on disk at once, so that a test can tell what a kill lost; test_write_behind.py has the others."""

LAYERS, KV_HEADS, PAGE = 2, 3, 16
LONGEST = 60
END = 0


def full_chain(seed: int, task: str, problem_id: str, thread: int) -> list[int]:
    """Tokens of a chain that no cap cuts; the last one ends it."""
    digest = hashlib.sha256(f"{seed}/{task}/{problem_id}/{thread}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    return [*rng.integers(1, 8, size=rng.integers(1, LONGEST)).tolist(), END]


class FakeEngine:
    """Vanilla's counts, a full chain cut at its cap, finished in an order of its own."""

    ceiling = None
    cache_shape = CacheShape(layers=LAYERS, kv_heads=KV_HEADS, token_bytes=64, page_bytes=64 * PAGE)

    def __init__(self, seed: int, log: Path | None = None, seconds: float = 0.0) -> None:
        self._seed, self._log, self._seconds = seed, log, seconds

    def generate(self, jobs: Iterable[Job]) -> Iterator[Chain]:
        threads = [(job, thread) for job in jobs for thread in job.length_caps]
        for i in range(0, len(threads), 5):
            for job, thread in reversed(threads[i : i + 5]):
                yield self._chain(job, thread)

    def _chain(self, job: Job, thread: int) -> Chain:
        time.sleep(self._seconds)
        if self._log is not None:
            with self._log.open("a") as log:
                log.write(json.dumps([job.task, job.problem_id, thread]) + "\n")
        prompt, cap = len(job.prompt_tokens), job.length_caps[thread]
        assert prompt < cap, "the engine is never asked for a thread without room"
        whole = full_chain(self._seed, job.task, job.problem_id, thread)
        tokens = whole[: cap - prompt]
        steps = np.arange(1, len(tokens) + 1, dtype=np.int64)
        rows = LAYERS * KV_HEADS
        return Chain(
            task=job.task,
            problem_id=job.problem_id,
            thread=thread,
            length_cap=cap,
            prompt_tokens=prompt,
            tokens=np.array(tokens, dtype=np.int32),
            finish_reason="stop" if tokens[-1] == END else "length",
            step_reads=(prompt + steps) * rows,
            step_live=(prompt + steps) * rows,
            step_pages=-(-steps // PAGE) * rows,
            step_micros=np.full(len(steps), 100, dtype=np.int64),
            row_live=np.full(rows, prompt + len(tokens), dtype=np.int64),
            page_shared=np.full(prompt // PAGE * rows, len(steps), dtype=np.int64),
            prefill_seconds=0.01,
            batch_threads=5.0,
            step_threads=np.full(len(steps), 5, dtype=np.int64),
        )


class FakeExecutor(InProcess):
    """A "model" whose prompt has a token a word and whose token t says \\boxed{t modulo 3}."""

    def __init__(self, plan: Plan, log: Path | None = None, seconds: float = 0.0) -> None:
        self._config, self._log, self._seconds = plan.config, log, seconds

    @staticmethod
    def check(plan: Plan, *, needed: bool) -> None:
        """Takes any plan."""

    def identity(self) -> ModelIdentity:
        return {"resolved_revision": None, "weights_sha": "fake", "answer_prefix": ""}

    def run_identity(self, run: Run) -> WeightsIdentity:
        return {}

    def prompt_tokens(self, problem: Problem) -> tuple[int, ...]:
        return tuple(range(1, len(problem.prompt.split()) + 1))

    def text(self, tokens: Sequence[int]) -> tuple[str, list[int]]:
        pieces = ["" if token == END else f"\\boxed{{{token % 3}}} " for token in tokens]
        return "".join(pieces), np.cumsum([len(piece) for piece in pieces], dtype=int).tolist()

    def engine(self, run: Run) -> FakeEngine:
        return FakeEngine(self._config.seed, self._log, self._seconds)


def write_task(folder: Path, problems: int = 6, name: str = "toy", words: int = 4) -> Path:
    """A task of `problems` problems with the answer 1, in TOML, with its rows beside it; its path."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"id": f"p{i}", "question": f"{i} " + "word " * words, "answer": "1"} for i in range(problems)]
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = folder / f"{name}.toml"
    path.write_text(
        f'name = "{name}"\ntitle = "Toy"\nrows = "{name}.jsonl"\nprompt = "Answer: {{problem}}"\n'
        'grader = "integer"\naggregate = "majority"\n'
        '[columns]\nid = "id"\nproblem = "question"\nanswer = "answer"\n'
    )
    return path


def fake_config(folder: Path, task: Path, **fields: Any) -> SweepConfig:
    """A small sweep of `task` into `folder`."""
    defaults: dict[str, Any] = {
        "model": "fake",
        "tasks": (str(task),),
        "grid": ((1, 32), (2, 32), (4, 16)),
        "output_dir": folder,
        "latency": False,
    }
    return make_config(**{**defaults, **fields})


def no_spec(model: str, revision: str | None) -> ModelSpec:
    """A fake model has no config."""
    raise ValueError(f"{model}: is played")


def fake_plan(folder: Path, task: Path, **fields: Any) -> Plan:
    """The same, resolved."""
    return resolve(fake_config(folder, task, **fields), no_spec)


def run_fake(config: SweepConfig, log: Path | None = None, seconds: float = 0.0) -> Report:
    """Sweep with the fake executor, its progress lost."""
    console = Console(file=sys.stderr)
    return sweep(resolve(config, no_spec), lambda plan: FakeExecutor(plan, log, seconds), Lines(console))


class Silent:
    """Progress that only remembers what was said."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def start(self, board: Board) -> None:
        pass

    def update(self) -> None:
        pass

    def say(self, message: str) -> None:
        self.messages.append(message)


class Interrupted(FakeExecutor):
    """Sends the process a signal when the eighth chain is being made."""

    number = signal.SIGINT
    times = 1

    def engine(self, run: Run) -> FakeEngine:
        executor = self

        class Engine(FakeEngine):
            def generate(self, jobs: Iterable[Job]) -> Iterator[Chain]:
                for index, chain in enumerate(super().generate(jobs)):
                    if index == 7:
                        for _ in range(executor.times):
                            os.kill(os.getpid(), executor.number)
                    yield chain

        return Engine(self._config.seed, self._log)


if __name__ == "__main__":
    config_file, log_file, pause = sys.argv[1:]
    print("ready", flush=True)
    report = run_fake(make_config(**json.loads(Path(config_file).read_text())), Path(log_file), float(pause))
    sys.exit(130 if report.interrupted else 0)
