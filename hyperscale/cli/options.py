"""The flags of a sweep, each also an environment variable and a key of a --config file, and the config they make."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from hyperscale.backends.settings import parse_options
from hyperscale.cli.experiment import MODEL, fill_in
from hyperscale.config import SweepConfig, make_config
from hyperscale.plan.grid import Point, budget_grid, product_grid
from hyperscale.plugins import unknown
from hyperscale.tasks.options import parse_task_options
from hyperscale.text import parse_bytes, parse_list, parse_tokens

T = TypeVar("T")

_MODEL, _TASKS, _CODE, _GRID, _CACHE, _SAMPLING, _ENGINE, _EXECUTOR, _OUTPUT = (
    "Model", "Tasks", "Code tasks", "Grid", "KV cache", "Sampling", "Engine", "Executor", "Output",
)  # fmt: skip


def option(panel: str, help: str, *flags: str, **more: Any) -> Any:
    """An option in a help panel, mirrored as HYPERSCALE_<FLAG>."""
    envvar = "HYPERSCALE_" + flags[0].split("/")[0].lstrip("-").replace("-", "_").upper()
    return typer.Option(*flags, help=help, rich_help_panel=panel, envvar=envvar, show_envvar=False, **more)


def _read_file(context: typer.Context, path: Path | None) -> Path | None:
    """Make the keys of a TOML file the defaults of the flags of the same names."""
    if path is None:
        return None
    try:
        keys = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ValueError(f"--config {path}: {error}") from None
    known = {field.name.replace("_", "-"): field.name for field in fields(SweepOptions) if field.name != "config"}
    for key in keys:
        if key not in known:
            raise ValueError(f"--config {path}: {unknown('key', key, known)}")
    context.default_map = {
        known[key]: _listed(value) if key in ("backend-option", "task-option") else _as_flag(value)
        for key, value in keys.items()
    }
    return path


def _listed(value: Any) -> list[str]:
    return [str(entry) for entry in value] if isinstance(value, list) else [str(value)]


def _as_flag(value: Any) -> Any:
    if isinstance(value, list):
        return ",".join(str(entry) for entry in value)
    return value if isinstance(value, bool) else str(value)


@dataclass(frozen=True)
class SweepOptions:
    """What `hyperscale sweep` and `hyperscale plan` take, as typed."""

    model: Annotated[
        str,
        option(_MODEL, "Hub id, checkpoint folder, .gguf file or retrofitted family; tiny comes along.", "--model"),
    ] = MODEL
    tasks: Annotated[
        str | None, option(_TASKS, "Comma list of tasks, or of TOML files of your own.", "--tasks", "-t")
    ] = None
    quick: Annotated[bool, option(_TASKS, "With tiny: fewer problems and points.", "--quick", show_default=False)] = (
        False
    )
    revision: Annotated[str | None, option(_MODEL, "Branch, tag or commit of a hub model.", "--revision")] = None
    dtype: Annotated[str, option(_MODEL, "auto, float32, bfloat16 or float16.", "--dtype")] = "auto"
    device: Annotated[str, option(_MODEL, "auto, cpu, cuda or cuda:N.", "--device")] = "auto"
    data: Annotated[
        Path | None, option(_TASKS, "Folder with local copies of the datasets, instead of the hub.", "--data")
    ] = None
    limit: Annotated[int | None, option(_TASKS, "Only the first N problems of each task.", "--limit", "-L")] = None
    problem_id: Annotated[str | None, option(_TASKS, "Comma list: only these problems.", "--problem-id")] = None
    task_option: Annotated[
        list[str] | None,
        option(
            _TASKS, "Option of a task, such as ruler_niah.lengths=1000,3000; may be given again.",
            "--task-option", metavar="[TASK.]KEY=VALUE",
        ),
    ] = None  # fmt: skip
    code_grader: Annotated[
        str, option(_CODE, "strict or official: whose verdict counts; both are recorded.", "--code-grader")
    ] = "strict"
    sandbox: Annotated[str, option(_CODE, "auto, bubblewrap or namespaces: what programs run in.", "--sandbox")] = (
        "auto"
    )
    confirm_run_unsafe_code: Annotated[
        bool,
        option(
            _CODE, "Run programs without a sandbox where the machine gives none.", "--confirm-run-unsafe-code",
            show_default=False,
        ),
    ] = False  # fmt: skip
    budget: Annotated[
        str | None, option(_GRID, "All powers of two W and L with W x L up to this many tokens: 64k.", "--budget")
    ] = None
    min_length: Annotated[str, option(_GRID, "Smallest L of --budget, in tokens.", "--min-length")] = "1k"
    widths: Annotated[
        str | None, option(_GRID, "Comma list of W: parallel threads a problem; with --lengths.", "--widths")
    ] = None
    lengths: Annotated[
        str | None, option(_GRID, "Comma list of L: cap on a thread in tokens, prompt included.", "--lengths")
    ] = None
    pool: Annotated[
        int | None,
        option(_GRID, "Threads generated per problem (default: what the grid needs). More, tighter points.", "--pool"),
    ] = None
    backends: Annotated[
        str | None,
        option(
            _CACHE, "Comma list of KV-cache backends, see `hyperscale backends` (default: vanilla).", "--backends"
        ),
    ] = None  # fmt: skip
    cr: Annotated[
        str | None, option(_CACHE, "Comma list of compression ratios for backends that compress.", "--cr")
    ] = None
    backend_option: Annotated[
        list[str] | None,
        option(
            _CACHE, "Setting of a backend, such as tova.sink_tokens=4; may be given again.",
            "--backend-option", metavar="BACKEND.FIELD=VALUE",
        ),
    ] = None  # fmt: skip
    memory_budget: Annotated[
        str | None, option(_CACHE, "KV cache of the running threads together: 2GiB, 500MB.", "--memory-budget")
    ] = None
    temperature: Annotated[float | None, option(_SAMPLING, "0 is greedy (default: 0.6).", "--temperature")] = None
    top_p: Annotated[float | None, option(_SAMPLING, "Nucleus; 1 is off (default: 0.95).", "--top-p")] = None
    top_k: Annotated[int, option(_SAMPLING, "0 is off.", "--top-k")] = 0
    min_p: Annotated[float, option(_SAMPLING, "0 is off.", "--min-p")] = 0.0
    seed: Annotated[int, option(_SAMPLING, "Same seed, same samples.", "--seed")] = 0
    max_batch: Annotated[
        int | None, option(_ENGINE, "Most threads that run together (default: 128).", "--max-batch")
    ] = None
    batch_invariant: Annotated[
        bool,
        option(
            _ENGINE,
            "Samples identical to the bit whatever the batch; slower.",
            "--batch-invariant/--no-batch-invariant",
        ),
    ] = False
    engine: Annotated[str, option(_ENGINE, "torch (every backend), vllm or openai (vanilla alone).", "--engine")] = (
        "torch"
    )
    tensor_parallel_size: Annotated[
        int, option(_ENGINE, "vllm: GPUs that share each layer.", "--tensor-parallel-size")
    ] = 1
    pipeline_parallel_size: Annotated[
        int, option(_ENGINE, "vllm: groups of GPUs that share the layers.", "--pipeline-parallel-size")
    ] = 1
    gpu_memory_utilization: Annotated[
        float, option(_ENGINE, "vllm: share of a GPU's memory that it takes.", "--gpu-memory-utilization")
    ] = 0.9
    base_url: Annotated[
        str | None, option(_ENGINE, "openai: the server, such as http://localhost:8000/v1.", "--base-url")
    ] = None
    served_model_name: Annotated[
        str | None,
        option(
            _ENGINE, "openai: the model's name on the server (default: the only one it has).", "--served-model-name"
        ),
    ] = None
    request_concurrency: Annotated[
        int, option(_ENGINE, "openai: most requests at a time.", "--request-concurrency")
    ] = 64
    executor: Annotated[str, option(_EXECUTOR, "local (this process) or ray (a cluster).", "--executor")] = "local"
    ray_address: Annotated[
        str | None,
        option(
            _EXECUTOR, "Of a cluster, auto for the one of this machine (default: one is started here).", "--ray-address"
        ),
    ] = None
    shard_problems: Annotated[
        int | None, option(_EXECUTOR, "Problems in a shard (default: some twenty minutes' worth).", "--shard-problems")
    ] = None
    gpus_per_shard: Annotated[
        float | None,
        option(_EXECUTOR, "GPUs that a shard needs (default: what the engine uses).", "--gpus-per-shard"),
    ] = None
    cpus_per_shard: Annotated[
        int | None,
        option(_EXECUTOR, "Cores that a shard needs (default: 1 beside a GPU, else a node's).", "--cpus-per-shard"),
    ] = None
    config: Annotated[
        Path | None,
        option(
            _OUTPUT, "TOML file whose keys are flags without dashes. Flags and variables win over it.",
            "--config", is_eager=True, callback=_read_file,
        ),
    ] = None  # fmt: skip
    output_dir: Annotated[
        str | None,
        option(
            _OUTPUT,
            "Results folder or URL, such as s3://bucket/name (default: results/MODEL--TASKS).",
            "--output-dir",
            "-o",
        ),
    ] = None

    def to_config(self) -> SweepConfig:
        """The validated config; ValueError names the flag at fault."""
        given = fill_in(self.model, {field.name: getattr(self, field.name) for field in fields(self)}, quick=self.quick)
        return replace(self, **given)._filled_in()

    def _filled_in(self) -> SweepConfig:
        if self.tasks is None:
            raise ValueError("say what to sweep with --tasks; `hyperscale tasks` lists them")
        tasks = _parsed("--tasks", parse_list, self.tasks)
        return make_config(
            **{name: getattr(self, name) for name in _SAME},
            tasks=tasks,
            problem_ids=_list("--problem-id", self.problem_id),
            task_options=parse_task_options(self.task_option or ()),
            backends=_list("--backends", self.backends),
            compression_ratios=_list("--cr", self.cr),
            backend_options=parse_options(self.backend_option) if self.backend_option else (),
            grid=self._grid(),
            memory_budget=(
                None if self.memory_budget is None else _parsed("--memory-budget", parse_bytes, self.memory_budget)
            ),
            output_dir=(
                Path("results") / folder_name(self.model, tasks) if self.output_dir is None else self.output_dir
            ),
        )

    def _grid(self) -> tuple[Point, ...]:
        if (self.budget is None) == (self.widths is None and self.lengths is None):
            raise ValueError("give the grid either as --budget or as --widths and --lengths")
        if self.budget is not None:
            budget = _parsed("--budget", parse_tokens, self.budget)
            return budget_grid(budget, _parsed("--min-length", parse_tokens, self.min_length))
        if self.widths is None or self.lengths is None:
            raise ValueError("--widths and --lengths go together")
        widths, lengths = _list("--widths", self.widths), _list("--lengths", self.lengths)
        return product_grid(
            [_parsed("--widths", parse_tokens, width) for width in widths],
            [_parsed("--lengths", parse_tokens, length) for length in lengths],
        )


_SAME = (
    "model", "revision", "dtype", "device", "data", "limit", "pool", "temperature", "top_p", "top_k", "min_p", "seed",
    "max_batch", "batch_invariant", "code_grader", "sandbox", "confirm_run_unsafe_code", "engine",
    "tensor_parallel_size", "pipeline_parallel_size", "gpu_memory_utilization", "base_url", "served_model_name",
    "request_concurrency",
    "executor", "ray_address", "shard_problems", "gpus_per_shard", "cpus_per_shard",
)  # fmt: skip


def folder_name(model: str, tasks: tuple[str, ...]) -> str:
    """`Qwen--Qwen3-8B--aime24-math500`: a model (its file name, where it is a local path) and its tasks."""
    name = Path(model).resolve().stem if model.endswith(".gguf") else model
    if Path(model).is_dir():
        name = Path(model).resolve().name
    stems = "-".join(Path(task).stem if task.endswith(".toml") else task for task in tasks)
    return re.sub(r"[^\w.-]+", "-", f"{name.replace('/', '--')}--{stems}")


def _list(flag: str, text: str | None) -> tuple[str, ...]:
    return () if text is None else _parsed(flag, parse_list, text)


def _parsed(flag: str, parse: Callable[[str], T], text: str) -> T:
    try:
        return parse(text)
    except ValueError as error:
        raise ValueError(f"{flag}: {error}") from None
