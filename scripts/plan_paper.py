"""Print the tables of docs/roofline.md: the paper's full grid on 1, 8 and 64 GPUs, as `hyperscale plan` estimates it.

python scripts/plan_paper.py

Nothing is downloaded: published shapes stand for the models, and LiveCodeBench's number of problems is assumed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hyperscale.config import SweepConfig, make_config
from hyperscale.executors.local import run_specs
from hyperscale.plan.cost import SHARD_SECONDS, Assumptions, Work, makespan, problems_within
from hyperscale.plan.estimate import Estimate, Estimates, bound_by, estimate, format_count, format_seconds
from hyperscale.plan.runs import Run
from hyperscale.text import format_bytes

SHAPES = {
    "1.5B": {"hidden_size": 1536, "num_hidden_layers": 28, "num_attention_heads": 12, "num_key_value_heads": 2,
             "intermediate_size": 8960, "vocab_size": 151936},
    "7B": {"hidden_size": 3584, "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4,
           "intermediate_size": 18944, "vocab_size": 152064},
    "32B": {"hidden_size": 5120, "num_hidden_layers": 64, "num_attention_heads": 40, "num_key_value_heads": 8,
            "intermediate_size": 27648, "vocab_size": 152064},
}  # fmt: skip
"""Shapes of DeepSeek-R1-Distill-Qwen, from each config.json."""

WINDOW = 256
WIDTHS, RATIOS, POOL = (1, 2, 4, 8), (4.0, 8.0), 16
LONG, SHORT = (8192, 16384, 32768), (8192, 16384)
PROBLEMS = {LONG: {"aime24": 30, "math500": 500, "gpqa_diamond": 198}, SHORT: {"livecodebench": 279}}
"""Problems per task; 279 is one of the published counts for the paper's window of LiveCodeBench."""
BACKENDS = ("vanilla", "quest", "tova", "h2o", "dms", "dmc")
GPUS = (1, 8, 64)
MANY = 512
REACHES = (1.0, 0.3)


def main() -> None:
    """Print all tables."""
    with TemporaryDirectory() as folder:
        models = {size: write_model(Path(folder) / size, shape) for size, shape in SHAPES.items()}
        for accelerator in ("h100", "h200"):
            print(f"\n### {accelerator}: work and time (GPU-hours)\n")
            print_totals(models, accelerator)
        for size, model in models.items():
            print(f"\n### {size} on one h100: AIME 24, L up to 32k\n")
            print_backends(model)
        print("\n### 7B on h100: tasks\n")
        print_tasks(models["7B"])
        print("\n### 32B, vanilla alone, L up to 32k: AIME 24, MATH-500, GPQA\n")
        print_large(models["32B"])
        print("\n### what does not fit\n")
        for accelerator in ("h100", "h200"):
            for size, model in models.items():
                for error in dict.fromkeys(error for found in plan(model, accelerator, 1) for error in found.errors):
                    print(f"* {size}: {error}")


def write_model(folder: Path, shape: dict[str, int]) -> Path:
    """Write a family of a model and its retrofits, as configs without weights."""
    write_config(folder, shape)
    members = []
    for backend, form in (("dms", "borrowed"), ("dmc", "dmc")):
        for ratio in RATIOS:
            member = folder / f"{backend}-{ratio:g}"
            write_config(member, shape)
            gates = {"form": form, "window": WINDOW, "ratio": ratio}
            (member / "gates.json").write_text(json.dumps(gates))
            members.append({"backend": backend, "ratio": ratio, "checkpoint": member.name})
    (folder / "family.json").write_text(json.dumps({"original": ".", "members": members}))
    return folder


def write_config(folder: Path, shape: dict[str, int]) -> None:
    """Write a config.json of Qwen2's architecture."""
    folder.mkdir(parents=True)
    fixed = {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "max_position_embeddings": 131072,
             "tie_word_embeddings": False, "torch_dtype": "bfloat16", "eos_token_id": 151643}  # fmt: skip
    (folder / "config.json").write_text(json.dumps({**fixed, **shape}))


def plan(model: Path, accelerator: str, gpus: int, reach: float = 1.0) -> list[Estimates]:
    """Estimate the tasks up to 32k, and LiveCodeBench up to 16k."""
    return [estimated(config_of(model, lengths), lengths, accelerator, gpus, reach) for lengths in (LONG, SHORT)]


def estimated(
    config: SweepConfig, lengths: tuple[int, ...], accelerator: str, gpus: int | None = None, reach: float = 1.0
) -> Estimates:
    """Estimate a sweep's tasks."""
    assumed = Assumptions(accelerator=accelerator, gpus=gpus, reach=reach)
    return estimate(config, dict(run_specs(config)), config.dtype, PROBLEMS[lengths], assumed)


def config_of(model: Path, lengths: tuple[int, ...], **fields: Any) -> SweepConfig:
    """Return the config of a model's sweep up to these lengths."""
    return make_config(
        **{
            "model": str(model), "dtype": "bfloat16", "tasks": tuple(PROBLEMS[lengths]), "backends": BACKENDS,
            "compression_ratios": RATIOS, "grid": tuple((width, length) for width in WIDTHS for length in lengths),
            "pool": POOL, "executor": "ray", "output_dir": model / "out",
        } | fields
    )  # fmt: skip


def entries(found: list[Estimates]) -> Iterator[Estimate]:
    """Yield the estimate of every run of every task."""
    return (entry for part in found for entry in part.entries)


def wall(found: list[Estimates], gpus: int) -> float:
    """Return the seconds until the last shard of both sweeps ends on the same GPUs."""
    return makespan(sorted((s for entry in entries(found) for s in entry.shards), reverse=True), gpus)


def print_totals(models: dict[str, Path], accelerator: str) -> None:
    """Print a row per model and reach: wall clock for each number of GPUs, and GPU-hours."""
    print_header(["model", "reach", "tokens", "samples", "1 GPU", *(f"{gpus} GPUs" for gpus in GPUS[1:])])
    for size, model in models.items():
        for reach in REACHES:
            on = {gpus: plan(model, accelerator, gpus, reach) for gpus in GPUS}
            one = list(entries(on[1]))
            tokens = sum(entry.cost.tokens(entry.problems) for entry in one)
            stored = sum(entry.cost.stored_bytes(entry.problems) for entry in one)
            spent = {gpus: sum(part.gpu_hours for part in found) for gpus, found in on.items()}
            clocks = [f"{format_seconds(wall(on[gpus], gpus))} ({spent[gpus]:,.0f})" for gpus in GPUS]
            print_row([size, f"{reach:.0%}", format_count(tokens), format_bytes(stored), *clocks])


def print_backends(model: Path) -> None:
    """Print a row per run, on one GPU."""
    print_header(
        [
            "run",
            "threads that fit",
            "weights",
            "KV",
            "compute",
            "seconds a problem (16 threads)",
            "problems in 20 minutes",
        ]
    )
    for entry in plan(model, "h100", 1)[0].entries:
        if entry.task == "aime24":
            # Enough problems to fill the batch many times, so that the task's size does not matter.
            work = entry.cost.work(MANY)
            shares = [f"{part / work.seconds:.0%}" for part in work[1:]]
            fill = problems_within(SHARD_SECONDS, entry.cost)
            print_row([entry.run.name, str(entry.cost.fit.threads), *shares, f"{work.seconds / MANY:,.0f}", str(fill)])


def print_tasks(model: Path) -> None:
    """Print a row per task: shards, their bound, and verdicts."""
    print_header(
        ["task", "problems", "runs", "20-minute shards", "shards on 64 GPUs", "1 GPU", "64 GPUs", "verdicts at most"]
    )
    one, many = (plan(model, "h100", gpus) for gpus in (1, 64))
    for task in dict.fromkeys(entry.task for entry in entries(one)):
        few, lots = ([entry for entry in entries(found) if entry.task == task] for found in (one, many))
        bounds = [bound_by(Work(*map(sum, zip(*(entry.work for entry in of), strict=True)))) for of in (few, lots)]
        shards = [sum(entry.usable for entry in few), sum(len(entry.shards) for entry in lots)]
        verdicts = sum(entry.problems * entry.run.pool(length) for entry in few for length in cuts(entry.run))
        print_row([task, f"{few[0].problems}", f"{len(few)}", *map(str, shards), *bounds, f"{verdicts:,}"])


def cuts(run: Run) -> set[int]:
    """Return every L at which a run's chains are graded."""
    return {length for _, length in run.points}


def print_large(model: Path) -> None:
    """Print a row per engine and devices, for a model that leaves a device little free memory."""
    print_header(["engine", "devices", "weights", "KV cache", "threads that fit", "GPU-hours", "bound by"])
    for engine, accelerator, devices in (
        ("torch", "h100", 1), ("torch", "h200", 1), ("vllm", "h100", 2), ("vllm", "h100", 4), ("vllm", "h200", 1),
        ("vllm", "h200", 2),
    ):  # fmt: skip
        config = config_of(
            model, LONG, engine=engine, tensor_parallel_size=devices, backends=("vanilla",), compression_ratios=()
        )
        found = estimated(config, LONG, accelerator)
        fit = found.entries[0].cost.fit
        work = Work(*map(sum, zip(*(entry.work for entry in found.entries), strict=True)))
        held = [format_bytes(fit.weights), format_bytes(fit.pool), str(fit.threads)]
        print_row([engine, f"{devices} x {accelerator}", *held, f"{found.gpu_hours:,.0f}", bound_by(work)])


def print_header(columns: list[str]) -> None:
    """Print the header of a Markdown table."""
    print_row(columns)
    print_row(["---"] * len(columns))


def print_row(cells: list[str]) -> None:
    """Print a row of a Markdown table."""
    print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
