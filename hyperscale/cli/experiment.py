"""The built-in experiment: flags of `hyperscale sweep` that are not given, for the models that come along."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MODEL = "tiny"
"""--model if none is given."""

MODELS = (MODEL, "tiny-immediate")
"""Models of the experiment."""

_EXPERIMENT: dict[str, str | int | float] = {
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
_QUICK: dict[str, str | int | float] = {"limit": 12, "widths": "1,2,4", "lengths": "128,256,512"}

_REPLACED_BY = {
    "limit": ("problem_id",),
    "widths": ("budget", "lengths"),
    "lengths": ("budget", "widths"),
}
"""Flags of the experiment that drop out if one of these is given."""


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
