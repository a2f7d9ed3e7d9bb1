"""Throughput of points by the latency table, against a run alone at that L: the model that comes along, 8 MiB of cache.

A sweep over all L ends with its latency table, from which `seconds` of each outcome follow. Then each (backend, W, L)
is run alone, with the same problems and threads, repeated until the batch stays full for long: seconds of a problem are
its prefill and its threads' shares of each step, without the problems that ran while the batch emptied.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory

import pandas as pd
from hyperscale.model.family import checkpoint_of, family_of

from benchmarks.common import print_table, seconds
from hyperscale.backends import backend_class
from hyperscale.cli.main import run
from hyperscale.config import Sampling
from hyperscale.engines.base import Chain, Job
from hyperscale.engines.torch.engine import TorchEngine
from hyperscale.model.chat import encode_prompt
from hyperscale.model.load import load_model
from hyperscale.tasks.load import load_problems, load_task

WIDTH, LENGTHS, MEMORY = 8, (64, 256, 512), 8 * 2**20
BACKENDS = {"vanilla": 1.0, "tova": 8.0, "dms": 8.0}
MOST = 256
FULL, DRAIN = 10, 3
"""Batches' worth of threads that a run has, and how many of the last are not counted: the batch empties then."""


def swept(folder: Path, problems: int, time: float) -> pd.DataFrame:
    """Sweep all L at once; return the outcomes."""
    arguments = ["sweep", "--tasks", "countdown", "--limit", str(problems), "--widths", str(WIDTH), "--cr", "8"]
    arguments += ["--lengths", ",".join(map(str, LENGTHS)), "--backends", ",".join(BACKENDS), "-o", str(folder)]
    arguments += ["--memory-budget", str(MEMORY), "--max-batch", str(MOST), "--latency-seconds", str(time), "--latency"]
    assert run(arguments) == 0
    return pd.read_parquet(folder / "outcomes.parquet")


def alone(backend: str, length: int, problems: int, threads: float) -> tuple[float, float]:
    """Run one backend at one L; return mean seconds and mean batch of the problems that ran in a full batch."""
    family = family_of("tiny")
    assert family is not None
    ratio, policy = BACKENDS[backend], backend_class(backend)
    name = checkpoint_of("tiny", backend, ratio)
    model = load_model(family.original if name == "tiny" else name)
    engine = TorchEngine(
        model, policy=policy, sampling=Sampling(temperature=0.8, top_p=1.0), length_cap=length, max_batch=MOST,
        cache_budget=int(length / ratio) if policy.knows_length else None, memory_budget=MEMORY,
    )  # fmt: skip
    found = load_problems(load_task("countdown"), limit=problems).problems
    prompts = [tuple(encode_prompt(model.tokenizer, problem.prompt, problem.system)) for problem in found]
    times = max(1, round(FULL * threads / (WIDTH * problems)))
    jobs = [
        Job("countdown", f"{problem.id}/{again}", prompt, dict.fromkeys(range(WIDTH), length))
        for again in range(times)
        for problem, prompt in zip(found, prompts, strict=True)
    ]
    by_problem: dict[str, list[Chain]] = {}
    for chain in engine.generate(jobs):
        by_problem.setdefault(chain.problem_id, []).append(chain)
    counted = [by_problem[job.problem_id] for job in jobs[: max(1, len(jobs) - round(DRAIN * threads / WIDTH))]]
    taken = [chains[0].prefill_seconds + sum(c.step_micros.sum() for c in chains) * 1e-6 for chains in counted]
    return mean(taken), mean(chain.batch_threads for chains in counted for chain in chains)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--problems", type=int, default=24)
    parser.add_argument("--latency-seconds", type=float, default=2.0)
    args = parser.parse_args()
    with TemporaryDirectory() as folder:
        taken: list[pd.DataFrame] = []
        wall = seconds(lambda: taken.append(swept(Path(folder) / "out", args.problems, args.latency_seconds)))
        outcomes = taken[0]
        latency = pd.read_parquet(Path(folder) / "out" / "latency.parquet")
    rows, off = [], []
    for backend in BACKENDS:
        for length in LENGTHS:
            point = outcomes[(outcomes["backend"] == backend) & (outcomes["length"] == length)]
            threads = point["max_threads"].mean()
            (direct, batch), by_table = alone(backend, length, args.problems, threads), point["seconds"].mean()
            off.append(abs(direct / by_table - 1))
            cells = [f"{60 / x:,.0f}" for x in (by_table, direct, point["as_run_seconds"].mean())]
            rows.append(
                [backend, str(WIDTH), str(length), f"{threads:.0f}", f"{batch:.0f}", *cells, f"{direct / by_table:.2f}"]
            )
    header = [
        "backend",
        "W",
        "L",
        "max_threads",
        "ran alone",
        "by the table",
        "alone",
        "as run at 512",
        "table / alone",
    ]
    print_table(f"Problems per minute, {args.problems} problems of countdown", header, rows)
    noisy = f"{latency['disturbed'].sum()} of {len(latency)} cells disturbed"
    print(f"farthest off {max(off):.0%}; {noisy}; sweep {wall:.0f} s")


if __name__ == "__main__":
    main()
