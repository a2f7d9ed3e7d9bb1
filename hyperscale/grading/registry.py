"""Graders by name: built-ins, entry points of `hyperscale.graders`, and `PATH.py:NAME`; aggregates by name."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from hyperscale.grading.base import Grader, GraderRef
from hyperscale.plugins import Registry

if TYPE_CHECKING:
    from hyperscale.grading.aggregate import Aggregate


def _accept(found: object) -> type[Grader] | Grader:
    kind = found if isinstance(found, type) else type(found)
    if not issubclass(kind, Grader) or inspect.isabstract(kind):
        raise ValueError("it must be a subclass of hyperscale.grading.Grader that has all its methods, or one's object")
    if not getattr(kind, "name", ""):
        raise ValueError("it must have a name")
    if kind.sandboxed:
        raise ValueError("programs are judged by the grader code alone")
    return found  # type: ignore[return-value]


GRADERS: Registry[type[Grader] | Grader] = Registry(
    "grader",
    {
        "math": "hyperscale.grading.math:Math",
        "integer": "hyperscale.grading.integer:Integer",
        "number": "hyperscale.grading.number:Number",
        "choice": "hyperscale.grading.choice:Choice",
        "final": "hyperscale.grading.final:Final",
        "countdown": "hyperscale.grading.countdown:CountdownSum",
        "words": "hyperscale.grading.words:Words",
        "exact": "hyperscale.grading.exact:Exact",
        "regex": "hyperscale.grading.regex:Regex",
        "code": "hyperscale.grading.code.grader:Code",
    },
    "hyperscale.graders",
    _accept,
)


def load_grader(grader: str | GraderRef | Grader) -> Grader:
    """Make the grader that is named. ValueError: unknown, not to be loaded, or a pattern missing, wrong or too much."""
    if isinstance(grader, Grader):
        return grader
    name, pattern = grader if isinstance(grader, GraderRef) else (grader, None)
    loaded: Any = GRADERS.load(name)
    made: Grader
    if loaded.takes_pattern and isinstance(loaded, type):
        made = loaded(pattern)
    elif pattern is not None:
        raise ValueError(f"the grader {name} takes no pattern: leave grader_pattern out")
    else:
        made = loaded() if isinstance(loaded, type) else loaded
    return made


def gold_normal(grader: str | GraderRef | Grader, gold: str) -> str:
    """Normal form of a gold answer. ValueError if there is no such grader, or it demands another form."""
    return load_grader(grader).gold(gold)


AGGREGATES: Registry[type[Aggregate]] = Registry(
    "aggregate",
    {
        "majority": "hyperscale.grading.aggregate:Majority",
        "pass": "hyperscale.grading.aggregate:Pass",
        "mean": "hyperscale.grading.aggregate:Mean",
    },
)


def load_aggregate(name: str) -> Aggregate:
    """Make the aggregate that is named; ValueError where there is none."""
    return AGGREGATES.load(name)()
