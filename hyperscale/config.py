"""SweepConfig: everything that a sweep is asked for, checked before anything is loaded."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationError,
    field_validator,
    model_validator,
)

from hyperscale.engine_checks import check_engine
from hyperscale.engines.base import Sampling
from hyperscale.plugins import unknown as unknown
from hyperscale.results.remote import to_place

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

SAMPLING_FIELDS = ("temperature", "top_p", "top_k", "min_p", "seed")
IDENTITY_FIELDS = ("model", "revision", "dtype", *SAMPLING_FIELDS, "batch_invariant")
"""Fields that decide what is drawn. A results folder holds one identity, whatever else changes."""

OptionValue = bool | int | float | str
"""What a setting of a backend can be."""

MAX_THREADS = 65_536
"""Threads a problem may have: what is asked for by mistake must not fill the memory before it is told."""


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


class SweepConfig(BaseModel, frozen=True, extra="forbid"):
    """A validated sweep.

    Three kinds of fields. IDENTITY_FIELDS (and the tasks' prompts) decide what is drawn: another value needs
    another folder; so do other options of a backend. Tasks, problems, backends, ratios, grid and pool say how much is
    drawn: extending them generates what is missing. The rest (device, memory budget, batch, data, folder) says how,
    and is free to change.
    """

    model: str = Field(min_length=1)
    revision: str | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: Device = "auto"

    tasks: tuple[str, ...] = Field(min_length=1)
    data: Path | None = None
    limit: int | None = Field(default=None, ge=1)
    problem_ids: tuple[str, ...] = ()
    task_options: tuple[tuple[str, str, str], ...] = ()
    """Which problems tasks with an adapter choose: (task or "" for all, key, value as typed), sorted."""

    code_grader: Literal["strict", "official"] = "strict"
    """Which grader of code decides; both are recorded."""
    sandbox: Literal["auto", "bubblewrap", "namespaces"] = "auto"
    confirm_run_unsafe_code: bool = False

    backends: tuple[str, ...] = Field(default=("vanilla",), min_length=1)
    compression_ratios: tuple[Annotated[float, Field(gt=1, allow_inf_nan=False)], ...] = ()

    backend_options: tuple[tuple[str, str, OptionValue], ...] = ()
    """Settings that differ from a backend's defaults: (backend, field, value), sorted."""

    grid: tuple[tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]], ...] = Field(min_length=1)
    """Points asked for: (width, length) pairs, in threads and tokens, sorted, no pair twice."""
    pool: int | None = Field(default=None, ge=1)
    """Threads generated per problem, at least the largest width. More threads, tighter points."""

    temperature: float = Field(default=0.6, ge=0, allow_inf_nan=False)
    top_p: float = Field(default=0.95, gt=0, le=1, allow_inf_nan=False)
    top_k: int = Field(default=0, ge=0)
    min_p: float = Field(default=0.0, ge=0, lt=1, allow_inf_nan=False)
    seed: int = Field(default=0, ge=0, lt=2**63)

    engine: Literal["torch", "vllm", "openai"] = "torch"
    """Who generates. Part of the identity: engines draw with random numbers of their own."""
    tensor_parallel_size: int = Field(default=1, ge=1)
    pipeline_parallel_size: int = Field(default=1, ge=1)
    gpu_memory_utilization: float = Field(default=0.9, gt=0, le=1)
    base_url: str | None = None
    served_model_name: str | None = None
    request_concurrency: int = Field(default=64, ge=1)

    executor: Literal["local", "ray"] = "local"
    ray_address: str | None = None
    shard_problems: int | None = Field(default=None, ge=1)
    """Problems in a shard; None leaves it to the estimate of its time."""
    gpus_per_shard: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    cpus_per_shard: int | None = Field(default=None, ge=1)

    memory_budget: int | None = Field(default=None, ge=1)
    """Bytes of KV cache that the running threads may hold together; None leaves it to the engine."""
    max_batch: int = Field(default=128, ge=1)
    batch_invariant: bool = False
    output_dir: Annotated[Path, PlainValidator(_place), PlainSerializer(str, return_type=str)]
    """A local folder, or a URL that fsspec knows (results/remote.py)."""

    @field_validator("grid")
    @classmethod
    def _sorted_grid(cls, grid: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
        return tuple(sorted(set(grid)))

    @field_validator("tasks", "backends", "problem_ids")
    @classmethod
    def _no_entry_twice(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(entries))

    @field_validator("task_options")
    @classmethod
    def _sorted_options(cls, options: tuple[tuple[str, str, str], ...]) -> tuple[tuple[str, str, str], ...]:
        return tuple(sorted(set(options)))

    @field_validator("compression_ratios")
    @classmethod
    def _sorted_ratios(cls, ratios: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(sorted(set(ratios)))

    @field_validator("backends")
    @classmethod
    def _known_backends(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        from hyperscale.backends import backend_names

        for name in names:
            if name not in backend_names():
                raise ValueError(f"--backends: {unknown('backend', name, backend_names())}")
        return names

    @model_validator(mode="after")
    def _consistent(self) -> SweepConfig:
        for flag, threads in (("largest width of the grid", self.width), ("--pool", self.pool or 0)):
            if threads > MAX_THREADS:
                raise ValueError(
                    f"{flag}: {threads:,} threads a problem are more than the {MAX_THREADS:,} that a sweep takes: "
                    "lower --widths, --budget or --pool, or raise --min-length"
                )
        if self.pool is not None and self.pool < self.width:
            raise ValueError(f"--pool {self.pool} is smaller than the largest width {self.width} of the grid")
        if self.compression_ratios and self.backends == ("vanilla",):
            raise ValueError("--cr needs a backend that compresses: vanilla keeps every token (CR 1)")
        compressing = [name for name in self.backends if name != "vanilla"]
        if compressing and not self.compression_ratios:
            raise ValueError(
                f"--backends {', '.join(compressing)}: say how much to compress with --cr, such as --cr 4,8"
            )
        check_engine(self)
        for backend, field, _ in self.backend_options:
            if backend not in self.backends:
                raise ValueError(f"--backend-option {backend}.{field}: {backend} is not among --backends")
        return self

    def options_of(self, backend: str) -> dict[str, OptionValue]:
        """The settings of a backend that are not its defaults."""
        return {field: value for name, field, value in self.backend_options if name == backend}

    @property
    def width(self) -> int:
        """Largest W of the grid."""
        return max(width for width, _ in self.grid)

    @property
    def lengths(self) -> tuple[int, ...]:
        """Every L of the grid, ascending."""
        return tuple(sorted({length for _, length in self.grid}))

    def sampling(self) -> Sampling:
        """How the engine draws tokens."""
        return Sampling(**{name: getattr(self, name) for name in SAMPLING_FIELDS})

    def identity(self) -> dict[str, Any]:
        """The part of the config that decides what is drawn, as JSON values."""
        named = self.model_dump(mode="json", include=set(IDENTITY_FIELDS))
        # Folders that are older than the choice were all drawn by torch, and keep their identity.
        return named if self.engine == "torch" else {**named, "engine": self.engine}


def make_config(**fields: Any) -> SweepConfig:
    """SweepConfig of `fields`; ValueError with one line that names the flag at fault."""
    try:
        return SweepConfig(**fields)
    except ValidationError as error:
        raise ValueError(in_one_line(error)) from None


def in_one_line(error: ValidationError) -> str:
    """All that is wrong with a config, with the flags at fault."""
    return "; ".join(dict.fromkeys(_one_line(detail) for detail in _details(error)))


def stable_hash(value: Mapping[str, Any]) -> str:
    """16 hex digits of JSON values, the same in every process and on every machine."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


_WORDS = {
    "bool_parsing": "must be true or false",
    "extra_forbidden": "is no setting that is known",
    "finite_number": "must be a finite number",
    "float_parsing": "must be a number",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "has too many digits",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
}


def wording(detail: ErrorDetails) -> str:
    """What pydantic finds wrong with a value, as a user is told."""
    words = _WORDS.get(detail["type"])
    return detail["msg"].removeprefix("Value error, ") if words is None else words.format(**detail.get("ctx", {}))


_FLAGS = {"compression_ratios": "cr", "problem_ids": "problem-id", "grid": "widths/--lengths"}


def _details(error: ValidationError) -> list[ErrorDetails]:
    """All that is wrong, once: pydantic also calls a list short whose entries it refused."""
    return [detail for detail in error.errors() if not (detail["type"] == "too_short" and detail["input"])]


def _one_line(detail: ErrorDetails) -> str:
    if not detail["loc"] or detail["type"] == "value_error":
        return wording(detail)
    flag = _flag(*detail["loc"])
    if detail["type"] == "missing":
        return f"{flag} is missing"
    return f"{flag} {detail['input']!r}: {wording(detail)}"


def _flag(field: int | str, *place: int | str) -> str:
    if field == "grid" and len(place) == 2:
        return "--lengths" if place[1] else "--widths"
    return f"--{_FLAGS.get(str(field), str(field).replace('_', '-'))}"
