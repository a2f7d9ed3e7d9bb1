"""The fields of a sweep, each with its type, bounds, default and flag: declared here and nowhere else."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, PlainSerializer, PlainValidator

from hyperscale.config.flag import Flag, MadeOf
from hyperscale.storage.remote import to_place
from hyperscale.text import parse_bytes, parse_list

OptionValue = bool | int | float | str
"""Type of a backend's setting."""


@dataclass(frozen=True)
class Sampling:
    """How a token is drawn. `temperature` 0 is greedy. `top_k` 0, `top_p` 1 and `min_p` 0 are off."""

    temperature: float = 0.6
    top_p: float = 0.95
    top_k: int = 0
    min_p: float = 0.0
    seed: int = 0


def _known_device(device: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise ValueError(f"--device {device!r}: must be auto, cpu, cuda or cuda:N")
    return device


def _place(given: Any) -> Path:
    if not isinstance(given, str | Path) and not hasattr(given, "storage_options"):
        raise ValueError(f"--output-dir {given!r}: must be a folder or a URL")
    if not str(given):
        raise ValueError("--output-dir must not be empty")
    return to_place(given)


Device = Annotated[str, AfterValidator(_known_device)]
"""--device, checked."""

Place = Annotated[Path, PlainValidator(_place), PlainSerializer(str, return_type=str)]
"""A local folder, or a URL that fsspec knows."""

_Count = Annotated[int, Field(ge=1)]


class SweepFields(BaseModel, frozen=True, extra="forbid"):
    """Everything that a sweep can be asked for, in the order of the help."""

    model: Annotated[
        str, Flag("Model", "Hub id, checkpoint folder, .gguf file or retrofitted family; tiny comes along.")
    ] = Field(min_length=1)
    revision: Annotated[str | None, Flag("Model", "Branch, tag or commit of a hub model.")] = None
    dtype: Annotated[
        Literal["auto", "float32", "bfloat16", "float16"], Flag("Model", "auto, float32, bfloat16 or float16.")
    ] = "auto"
    device: Annotated[Device, Flag("Model", "auto, cpu, cuda or cuda:N.")] = "auto"

    tasks: Annotated[
        tuple[str, ...],
        Flag("Tasks", "Comma list of tasks, or of TOML files of your own.", short="-t", read=parse_list),
    ] = Field(min_length=1)
    data: Annotated[Path | None, Flag("Tasks", "Folder with local copies of the datasets, instead of the hub.")] = None
    limit: Annotated[_Count | None, Flag("Tasks", "Only the first N problems of each task.", short="-L")] = None
    problem_ids: Annotated[
        tuple[str, ...], Flag("Tasks", "Comma list: only these problems.", name="problem-id", read=parse_list)
    ] = ()
    task_options: Annotated[
        tuple[tuple[str, str, str], ...],
        Flag(
            "Tasks", "Option of a task, such as ruler_niah.lengths=1000,3000; may be given again.",
            name="task-option", metavar="[TASK.]KEY=VALUE", repeated=True,
        ),
    ] = ()  # fmt: skip
    """(task or "" for all, key, value as typed) of tasks with an adapter, sorted."""

    code_grader: Annotated[
        Literal["strict", "official"],
        Flag("Code tasks", "strict or official: whose verdict counts; both are recorded."),
    ] = "strict"
    sandbox: Annotated[
        Literal["auto", "bubblewrap", "namespaces"],
        Flag("Code tasks", "auto, bubblewrap or namespaces: what programs run in."),
    ] = "auto"
    confirm_run_unsafe_code: Annotated[
        bool, Flag("Code tasks", "Run programs without a sandbox where the machine gives none.")
    ] = False

    grid: Annotated[tuple[tuple[_Count, _Count], ...], MadeOf(("widths", "lengths"))] = Field(min_length=1)
    """Points: (width, length) pairs, in threads and tokens, sorted, no pair twice."""
    pool: Annotated[
        _Count | None,
        Flag("Grid", "Threads generated per problem (default: what the grid needs). More, tighter points."),
    ] = None
    """At least the largest width."""

    backends: Annotated[
        tuple[str, ...],
        Flag("KV cache", "Comma list of KV-cache backends, see `hyperscale backends`.", read=parse_list),
    ] = Field(default=("vanilla",), min_length=1)
    compression_ratios: Annotated[
        tuple[Annotated[float, Field(gt=1, allow_inf_nan=False)], ...],
        Flag("KV cache", "Comma list of compression ratios for backends that compress.", name="cr", read=parse_list),
    ] = ()
    backend_options: Annotated[
        tuple[tuple[str, str, OptionValue], ...],
        Flag(
            "KV cache", "Setting of a backend, such as tova.sink_tokens=4; may be given again.",
            name="backend-option", metavar="BACKEND.FIELD=VALUE", repeated=True,
        ),
    ] = ()  # fmt: skip
    """(backend, field, value) of settings that differ from a backend's defaults, sorted."""
    memory_budget: Annotated[
        _Count | None,
        Flag("KV cache", "KV cache of the running threads together: 2GiB, 500MB.", read=parse_bytes),
    ] = None
    """Bytes; None leaves it to the engine."""

    temperature: Annotated[float, Flag("Sampling", "0 is greedy.")] = Field(
        default=Sampling.temperature, ge=0, allow_inf_nan=False
    )
    top_p: Annotated[float, Flag("Sampling", "Nucleus; 1 is off.")] = Field(
        default=Sampling.top_p, gt=0, le=1, allow_inf_nan=False
    )
    top_k: Annotated[int, Flag("Sampling", "0 is off.")] = Field(default=Sampling.top_k, ge=0)
    min_p: Annotated[float, Flag("Sampling", "0 is off.")] = Field(
        default=Sampling.min_p, ge=0, lt=1, allow_inf_nan=False
    )
    seed: Annotated[int, Flag("Sampling", "Same seed, same samples.")] = Field(default=Sampling.seed, ge=0, lt=2**63)

    max_batch: Annotated[_Count, Flag("Engine", "Most threads that run together.")] = 128
    batch_invariant: Annotated[
        bool,
        Flag("Engine", "Samples identical to the bit whatever the batch; slower.", off="--no-batch-invariant"),
    ] = False
    engine: Annotated[str, Flag("Engine", "torch (every backend), vllm, openai or a plugin's (vanilla alone).")] = (
        "torch"
    )
    tensor_parallel_size: Annotated[_Count, Flag("Engine", "vllm: GPUs that share each layer.")] = 1
    pipeline_parallel_size: Annotated[_Count, Flag("Engine", "vllm: groups of GPUs that share the layers.")] = 1
    gpu_memory_utilization: Annotated[float, Flag("Engine", "vllm: share of a GPU's memory that it takes.")] = Field(
        default=0.9, gt=0, le=1
    )
    base_url: Annotated[str | None, Flag("Engine", "openai: the server, such as http://localhost:8000/v1.")] = None
    served_model_name: Annotated[
        str | None, Flag("Engine", "openai: the model's name on the server (default: the only one it has).")
    ] = None
    request_concurrency: Annotated[_Count, Flag("Engine", "openai: most requests at a time.")] = 64

    latency: Annotated[
        bool,
        Flag("Latency", "At a sweep's end, measure seconds of a decode step: throughput.", off="--no-latency"),
    ] = True
    latency_seconds: Annotated[
        float, Flag("Latency", "Time for that, of each backend and budget; more, more batches and contexts.")
    ] = Field(default=2.0, gt=0, allow_inf_nan=False)

    executor: Annotated[Literal["local", "ray"], Flag("Executor", "local (this process) or ray (a cluster).")] = "local"
    ray_address: Annotated[
        str | None,
        Flag("Executor", "Of a cluster, auto for the one of this machine (default: one is started here)."),
    ] = None
    shard_problems: Annotated[
        _Count | None, Flag("Executor", "Problems in a shard (default: some twenty minutes' worth).")
    ] = None
    gpus_per_shard: Annotated[
        float | None, Flag("Executor", "GPUs that a shard needs (default: what the engine uses).")
    ] = Field(default=None, ge=0, allow_inf_nan=False)
    cpus_per_shard: Annotated[
        _Count | None, Flag("Executor", "Cores that a shard needs (default: 1 beside a GPU, else a node's).")
    ] = None

    output_dir: Annotated[
        Place,
        # Typed as text: a URL is no path.
        Flag(
            "Output", "Results folder or URL, such as s3://bucket/name (default: results/MODEL--TASKS).",
            short="-o", read=str,
        ),
    ]  # fmt: skip
