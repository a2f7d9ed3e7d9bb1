"""Throughput by a latency table, against a run alone at that L: the model that comes along, 8 MiB of KV cache.

For each backend and L, in turns: problems are generated with enough threads that the batch stays full for long, and
the latency table of the same engine is measured. Seconds of a problem as run are its prefill and its threads' shares of
each step, without the problems that ran while the batch emptied; those by the table follow from the same problems.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from statistics import mean, median

import numpy as np
import pandas as pd

from benchmarks.common import print_table
from hyperscale.analysis.surface import RunLatency
from hyperscale.backends import backend_class
from hyperscale.backends.memory import block_bounds_for, scheduled_threads
from hyperscale.config import Sampling
from hyperscale.engines.base import Chain, Job
from hyperscale.engines.torch.engine import TorchEngine
from hyperscale.engines.torch.latency import Probe
from hyperscale.model.chat import encode_prompt
from hyperscale.model.load import Model, load_model
from hyperscale.model.source import family_of
from hyperscale.plan.cells import contexts
from hyperscale.plan.runs import Run, make_run
from hyperscale.sweep.held import held_rows
from hyperscale.sweep.rounds import Extent, Subject, take_turns
from hyperscale.tasks.load import load_problems, load_task

WIDTH, LENGTHS, MEMORY, MOST = 8, (64, 256, 512), 8 * 2**20, 256
BACKENDS = {"vanilla": 1.0, "tova": 8.0, "dms": 8.0}
FULL, DRAIN = 6, 2
"""Batches' worth of threads that a run has, and how many of the last are not counted: the batch empties then."""


def loaded(backend: str) -> Model:
    """Load the checkpoint of a backend at its ratio."""
    family = family_of("tiny")
    assert family is not None
    return load_model(family.members.get((backend, BACKENDS[backend]), family.original))


def planned(backend: str, length: int, model: Model) -> Run:
    """Make the run of a backend at one L."""
    ratio, caps, points = BACKENDS[backend], (length,) * WIDTH, ((WIDTH, length),)
    if backend_class(backend).knows_length:
        return make_run(backend, None, int(length / ratio), caps, points, spec=model.spec)
    return make_run(backend, ratio, None, caps, points, spec=model.spec)


def alone(engine: TorchEngine, prompts: Sequence[tuple[int, ...]], length: int, threads: int) -> list[list[Chain]]:
    """Generate; return the chains of the problems that ran in a full batch."""
    times = max(1, round(FULL * threads / (WIDTH * len(prompts))))
    jobs = [
        Job("countdown", f"{i}/{again}", prompt, dict.fromkeys(range(WIDTH), length))
        for again in range(times)
        for i, prompt in enumerate(prompts)
    ]
    found: dict[str, list[Chain]] = {job.problem_id: [] for job in jobs}
    for chain in engine.generate(jobs):
        found[chain.problem_id].append(chain)
    return [found[job.problem_id] for job in jobs[: max(1, len(jobs) - round(DRAIN * threads / WIDTH))]]


def as_run(problems: list[list[Chain]]) -> float:
    """Return the mean seconds of a problem as it ran."""
    return mean(chains[0].prefill_seconds + sum(c.step_micros.sum() for c in chains) * 1e-6 for chains in problems)


def by_table(engine: TorchEngine, run: Run, problems: list[list[Chain]], threads: int, seconds: float) -> float:
    """Measure the latency table; return the mean seconds of the same problems by it."""
    (length,), prompts = set(run.length_caps), [chains[0].prompt_tokens for chains in problems]
    extent, shape = Extent(min(prompts), max(prompts), (length,)), engine.cache_shape
    samples = pd.DataFrame(
        [
            vars(chain) | {"generated_tokens": len(chain.tokens), "layers": shape.layers, "kv_heads": shape.kv_heads}
            for chains in problems
            for chain in chains
        ]
    )
    held = held_rows(samples, contexts(extent.shortest, extent.lengths)) if run.policy.gated else None
    subject = Subject(run, Probe(engine, held), extent)
    take_turns([subject], seconds)
    rows = [{**time.cell._asdict(), "seconds": time.seconds, "roofline_seconds": 0.0} for time in subject.found()]
    latency = RunLatency(pd.DataFrame(rows).assign(memory_budget=MEMORY, max_batch=MOST))
    return mean(
        latency.prefill("seconds", prompt)
        + float(latency.shares("seconds", threads, prompt, np.array([len(chain.tokens) for chain in chains])).sum())
        for prompt, chains in zip(prompts, problems, strict=True)
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--problems", type=int, default=12)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--latency-seconds", type=float, default=2.0)
    args = parser.parse_args()
    problems = load_problems(load_task("countdown"), limit=args.problems).problems
    rows = []
    for backend in BACKENDS:
        model = loaded(backend)
        prompts = [tuple(encode_prompt(model.tokenizer, problem.prompt, problem.system)) for problem in problems]
        for length in LENGTHS:
            run = planned(backend, length, model)
            engine = TorchEngine(
                model, policy=run.policy, settings=run.settings, sampling=Sampling(temperature=0.8, top_p=1.0),
                length_cap=length, cache_budget=run.cache_budget, memory_budget=MEMORY, max_batch=MOST,
            )  # fmt: skip
            bounds = block_bounds_for(model.spec, run.policy, run.settings, run.cache_budget)
            middle = round(median(map(len, prompts)))
            threads = scheduled_threads(engine.cache_shape, MEMORY, MOST, middle, WIDTH, length, bounds)
            ran, table, batch = [], [], 0.0
            for _ in range(args.turns):
                found = alone(engine, prompts, length, threads)
                ran.append(as_run(found))
                table.append(by_table(engine, run, found, threads, args.latency_seconds))
                batch = mean(chain.batch_threads for chains in found for chain in chains)
            ratios = sorted(a / b for a, b in zip(ran, table, strict=True))
            rates = [f"{60 / median(x):,.0f}" for x in (table, ran)]
            spread = f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
            rows.append([run.name, f"{length}", f"{threads}", f"{batch:.0f}", *rates, f"{median(ratios):.2f}", spread])
    header = ["run", "L", "max_threads", "ran together", "by the table", "alone", "ratio", "over turns"]
    print_table(f"Problems per minute at W = {WIDTH}, countdown", header, rows)


if __name__ == "__main__":
    main()
