"""The experiment that comes with the package: what `hyperscale sweep` runs where it is not told otherwise."""

from __future__ import annotations

from typing import Any

MODEL = "tiny"
"""--model if none is given."""

_MODELS = (MODEL, "tiny-immediate")
"""Flags that are not given are the experiment's for these."""

_EXPERIMENT: dict[str, Any] = {
    "tasks": "countdown,trace",
    "limit": 24,
    "widths": "1,2,4,8,16",
    "lengths": "32,64,128,256,512",
    "backends": "vanilla,quest,tova,h2o,random,dmc,dms",
    "cr": "4,8",
    "temperature": 0.8,
    "top_p": 1.0,
    "max_batch": 256,
}
_QUICK: dict[str, Any] = {"limit": 12, "widths": "1,2,4", "lengths": "128,256,512"}

_GENERAL: dict[str, Any] = {"backends": "vanilla", "temperature": 0.6, "top_p": 0.95, "max_batch": 128}
"""Defaults of sweeps of other models; the sampling is the paper's."""

_REPLACED_BY = {
    "limit": ("problem_id",),
    "widths": ("budget", "lengths"),
    "lengths": ("budget", "widths"),
}
"""Flags that are left alone where one of these is given."""


def fill_in(model: str, given: dict[str, Any], *, quick: bool) -> dict[str, Any]:
    """Flags by name, with defaults for those that are None. ValueError for --quick with another model."""
    if quick and model not in _MODELS:
        raise ValueError(f"--quick is a small version of the built-in experiment on --model {MODEL}; use --limit")
    chosen: dict[str, Any] = {}
    if model in _MODELS:
        chosen = {
            name: value
            for name, value in (_EXPERIMENT | (_QUICK if quick else {})).items()
            if all(given[other] is None for other in _REPLACED_BY.get(name, ()))
        }
        if given.get("engine") not in (None, "torch"):
            chosen["backends"] = "vanilla"  # All that other engines have.
        backends = (given["backends"] or chosen["backends"]).split(",")
        if backends == ["vanilla"]:
            del chosen["cr"]
    defaults = {**_GENERAL, **chosen}
    return {name: defaults.get(name) if value is None else value for name, value in given.items()}
