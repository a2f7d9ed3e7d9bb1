"""SweepConfig: the request for a sweep, checked before anything is loaded. Fields and flags stand in fields.py."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import field_validator, model_validator

from hyperscale.config.fields import OptionValue, Sampling, SweepFields
from hyperscale.config.flag import checked

__all__ = ["IDENTITY_FIELDS", "OptionValue", "Sampling", "SweepConfig", "make_config", "stable_hash"]

SAMPLING_FIELDS = ("temperature", "top_p", "top_k", "min_p", "seed")
IDENTITY_FIELDS = ("model", "revision", "dtype", *SAMPLING_FIELDS, "batch_invariant")
"""Fields that decide the draws. A results folder holds one identity, whatever else changes."""

MAX_THREADS = 65_536
"""Most threads of a problem: a mistyped grid is refused before it fills the memory."""


class SweepConfig(SweepFields, frozen=True):
    """A validated sweep.

    Three kinds of fields. IDENTITY_FIELDS (and the tasks' prompts) decide the draws: another value needs another
    folder; so do other options of a backend. Tasks, problems, backends, ratios, grid and pool say how much is drawn:
    extending them generates the missing part. The rest (device, memory budget, batch, data, folder) says how, and is
    free to change.
    """

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
        _check_engine(self)
        return self

    def options_of(self, backend: str) -> dict[str, OptionValue]:
        """Return the settings of a backend that are not its defaults."""
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
        """Return how the engine draws tokens."""
        return Sampling(**{name: getattr(self, name) for name in SAMPLING_FIELDS})

    def identity(self) -> dict[str, Any]:
        """Return the fields that decide the draws, as JSON values."""
        named = self.model_dump(mode="json", include=set(IDENTITY_FIELDS))
        # Folders that are older than the choice were all drawn by torch, and keep their identity.
        return named if self.engine == "torch" else {**named, "engine": self.engine}


def _check_engine(config: SweepConfig) -> None:
    """Raise ValueError where the engine or executor cannot do this, or a flag belongs to another one."""
    others = [name for name in config.backends if name != "vanilla"]
    if config.engine != "torch" and others:
        raise ValueError(
            f"--engine {config.engine} generates with the vanilla cache alone, not with {', '.join(others)}: "
            "its block table serves all KV heads of a layer, so no head can keep, give up or skip tokens of its own, "
            "and a mask would free nothing. Sweep these backends with --engine torch, in a folder of their own"
        )
    if config.engine != "torch" and config.batch_invariant:
        raise ValueError(f"--batch-invariant is for --engine torch; {config.engine} has its own ways to batch")
    if (config.engine == "openai") != (config.base_url is not None):
        raise ValueError("--engine openai and --base-url go together, such as --base-url http://localhost:8000/v1")
    if config.served_model_name is not None and config.engine != "openai":
        raise ValueError("--served-model-name is for --engine openai: the name that the server knows the model by")
    devices = config.tensor_parallel_size * config.pipeline_parallel_size
    if devices > 1 and config.engine != "vllm":
        raise ValueError(
            "--tensor-parallel-size and --pipeline-parallel-size are for --engine vllm; --engine torch uses one "
            "device, and more of them with --executor ray"
        )
    if config.executor == "local" and (
        config.ray_address or config.gpus_per_shard is not None or config.cpus_per_shard
    ):
        raise ValueError("--ray-address, --gpus-per-shard and --cpus-per-shard are for --executor ray")
    if config.executor == "ray" and config.engine == "openai":
        raise ValueError(
            "--executor ray has nothing to spread for --engine openai: the server computes. Raise "
            "--request-concurrency instead"
        )


def make_config(**fields: Any) -> SweepConfig:
    """Make a SweepConfig; ValueError names the flag at fault, in one line."""
    return checked(SweepConfig, fields)


def stable_hash(value: Mapping[str, Any]) -> str:
    """Hash JSON values to 16 hex digits, the same in every process and on every machine."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
