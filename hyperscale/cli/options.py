"""Configs of everything typed for a sweep or a retrofit; the built-in experiment fills in what is not given."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel

from hyperscale.backends.settings import parse_options
from hyperscale.cli.command import FileFlag
from hyperscale.config import SweepConfig, make_config
from hyperscale.config.flag import Flag, checked, read_flags
from hyperscale.plan.runs import Point, budget_grid, product_grid
from hyperscale.retrofit.config import RetrofitConfig, default_form, make_retrofit
from hyperscale.storage.remote import to_place
from hyperscale.tasks.checks import parse_task_options
from hyperscale.text import format_tokens, parse_list, parse_tokens

MODEL = "tiny"
"""--model if none is given."""

MODELS = (MODEL, "tiny-immediate")
"""Models of the experiment."""

_EXPERIMENT: dict[str, str | int | float] = {
    "tasks": "countdown,trace",
    "limit": 20,
    "widths": "1,2,4,8,16",
    "lengths": "64,128,256,512",
    "backends": "vanilla,quest,tova,h2o,random,dmc,dms",
    "cr": "4,8",
    "temperature": 0.8,
    "top_p": 1.0,
    "max_batch": 256,
}
_QUICK: dict[str, str | int | float] = {
    "limit": 8,
    "widths": "1,2,4",
    "lengths": "128,256",
    "cr": "4",
    "latency_seconds": 1.0,
}

_REPLACED_BY = {
    "limit": ("problem_id",),
    "widths": ("budget", "lengths"),
    "lengths": ("budget", "widths"),
}
"""Flags of the experiment that drop out if one of these is given."""

SAVE_CRS = "2,3,4,6,8"
"""--save-crs if none is given."""


def fill_in(typed: Mapping[str, Any]) -> dict[str, Any]:
    """Add the experiment's flags to the typed ones, if the model is one of its; ValueError for --quick with another."""
    if typed.get("model", MODEL) not in MODELS:
        if typed.get("quick"):
            raise ValueError(f"--quick is a small version of the built-in experiment on --model {MODEL}; use --limit")
        return dict(typed)
    chosen = {
        key: value
        for key, value in (_EXPERIMENT | (_QUICK if typed.get("quick") else {})).items()
        if not any(other in typed for other in _REPLACED_BY.get(key, ()))
    }
    if typed.get("engine", "torch") != "torch":
        chosen["backends"] = "vanilla"  # Other engines have no more.
    if (typed.get("backends") or chosen["backends"]) == "vanilla":
        del chosen["cr"]
    return chosen | dict(typed)


HOW = ("device", "memory_budget", "max_batch", "latency_seconds")
"""Fields that `hyperscale latency` may change of a folder's config."""
_HOW = [field.replace("_", "-") for field in HOW]


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(map(parse_tokens, parse_list(text)))


class TypedOnly(BaseModel, frozen=True, extra="forbid"):
    """Flags of a sweep that its config does not keep: they fill in other fields."""

    quick: Annotated[bool, Flag("Tasks", "With tiny: fewer problems and points.", before="data")] = False
    budget: Annotated[
        int | None,
        Flag(
            "Grid",
            "All powers of two W and L with W x L up to this many tokens: 64k.",
            before="grid",
            read=parse_tokens,
        ),
    ] = None
    min_length: Annotated[
        int,
        Flag("Grid", "Smallest L of --budget, in tokens.", before="grid", read=parse_tokens, show=format_tokens),
    ] = 1024
    widths: Annotated[
        tuple[int, ...] | None,
        Flag("Grid", "Comma list of W: parallel threads a problem; with --lengths.", before="grid", read=_sizes),
    ] = None
    lengths: Annotated[
        tuple[int, ...] | None,
        Flag("Grid", "Comma list of L: cap on a thread in tokens, prompt included.", before="grid", read=_sizes),
    ] = None
    config: Annotated[
        Path | None,
        FileFlag(
            "Output", "TOML file whose keys are flags without dashes. Flags and variables win over it.",
            before="output_dir",
        ),
    ] = None  # fmt: skip

    def grid(self) -> tuple[Point, ...]:
        """Return the points; ValueError unless they are given in one way."""
        if (self.budget is None) == (self.widths is None and self.lengths is None):
            raise ValueError("give the grid either as --budget or as --widths and --lengths")
        if self.budget is not None:
            return budget_grid(self.budget, self.min_length)
        if self.widths is None or self.lengths is None:
            raise ValueError("--widths and --lengths go together")
        return product_grid(self.widths, self.lengths)


def sweep_config(**typed: Any) -> SweepConfig:
    """Make the config of typed values by the flags' keys; ValueError names the flag at fault."""
    typed = {"model": MODEL} | fill_in(typed)
    if "tasks" not in typed:
        raise ValueError("say what to sweep with --tasks; `hyperscale tasks` lists them")
    fields = read_flags(SweepConfig, typed)
    only = checked(TypedOnly, read_flags(TypedOnly, typed))
    fields["task_options"] = parse_task_options(fields.get("task_options", ()))
    fields["backend_options"] = parse_options(fields.get("backend_options", ()), fields.get("backends", ()))
    fields.setdefault("output_dir", Path("results") / folder_name(fields["model"], fields["tasks"]))
    return make_config(**fields, grid=only.grid())


def latency_config(results: str | None, typed: Mapping[str, Any]) -> SweepConfig:
    """Make the config of `hyperscale latency`: of a results folder's last session, or of everything typed.

    Of a folder only HOW and the flags of latency may be typed. ValueError names the flag at fault.
    """
    if results is None:
        if typed.get("model", MODEL) not in MODELS and not {"lengths", "budget"} & typed.keys():
            raise ValueError("say up to which context to measure with --lengths, such as --lengths 8k")
        # No task is loaded, and nothing depends on W.
        named = {"tasks": "latency", "widths": "1", **fill_in(typed), **typed}
        named.setdefault("output_dir", str(Path("results") / folder_name(named.get("model", MODEL), ("latency",))))
        return sweep_config(**named)
    from hyperscale.results.manifest import read_manifest

    place = to_place(results)
    # The switch of a sweep's end says nothing here, and may stand in the environment.
    typed = {key: value for key, value in typed.items() if key != "latency"}
    if others := sorted(typed.keys() - set(HOW)):
        raise ValueError(
            f"--{others[0].replace('_', '-')}: {place} says it; with RESULTS give only --{', --'.join(_HOW)}"
        )
    manifest = read_manifest(place)
    if manifest is None:
        raise ValueError(f"no results folder at {place}: name the --output-dir of a sweep, or give --model")
    return make_config(**{**manifest["config"], **read_flags(SweepConfig, typed), "output_dir": place})


def folder_name(model: str, tasks: tuple[str, ...]) -> str:
    """Name a folder by model (of a local path, its last part) and tasks: `Qwen--Qwen3-8B--aime24-math500`."""
    name = Path(model).resolve().stem if model.endswith(".gguf") else model
    if Path(model).is_dir():
        name = Path(model).resolve().name
    stems = "-".join(Path(task).stem if task.endswith(".toml") else task for task in tasks)
    return re.sub(r"[^\w.-]+", "-", f"{name.replace('/', '--')}--{stems}")


def retrofit_config(**typed: Any) -> RetrofitConfig:
    """Make the config of typed values by the flags' keys; ValueError names the flag at fault."""
    typed = {"save_crs": SAVE_CRS, **typed}
    method = typed.get("method", RetrofitConfig.model_fields["method"].default)
    form = typed.get("form", default_form(method))
    # Refused, as the flag would have no effect.
    for key in ("window", "decision_shift"):
        if method == "dmc" and key in typed:
            flag = f"--{key.replace('_', '-')}"
            raise ValueError(f"{flag} is of DMS: DMC merges a token at once, as the token itself decides")
    if "borrowed_dim" in typed and form != "borrowed":
        raise ValueError(f"--borrowed-dim is of --form borrowed: gates of form {form} leave no choice of it")
    fields = read_flags(RetrofitConfig, typed)
    target = fields.get("target_cr", RetrofitConfig.model_fields["target_cr"].default)
    fields["save_crs"] = tuple(ratio for ratio in _ratios(fields["save_crs"]) if ratio <= target)
    fields.setdefault("output_dir", Path("retrofits") / folder_name(fields["model"], (method,)))
    return make_retrofit(**fields)


def _ratios(text: str) -> tuple[float, ...]:
    try:
        ratios = tuple(map(float, parse_list(text)))
    except ValueError:
        ratios = ()
    if not ratios or not all(map(math.isfinite, ratios)):
        raise ValueError(
            f"--save-crs {text!r}: a comma list of numbers is expected, such as 2,4,8 (--target-cr is saved anyway)"
        )
    return ratios
