"""Load graders by name (built-ins, entry points of `hyperscale.graders`, `PATH.py:NAME`), and aggregates."""

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
        raise ValueError("it must be a subclass of hyperscale.grading.Grader that is not abstract, or its instance")
    if not getattr(kind, "name", ""):
        raise ValueError("it must have a name")
    if kind.sandboxed:
        raise ValueError("programs are judged by the grader code alone")
    return found  # type: ignore[return-value]


GRADERS: Registry[type[Grader] | Grader] = Registry(
    "grader",
    {
        "math": "hyperscale.grading.math:Math",
        "integer": "hyperscale.grading.number:Integer",
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
    """Make the named grader. ValueError: unknown, cannot be loaded, or a pattern missing, invalid or not taken."""
    if isinstance(grader, Grader):
        return grader
    name, pattern, sha256 = grader if isinstance(grader, GraderRef) else GraderRef(grader)
    loaded: Any = GRADERS.load(name)
    if sha256 is not None and sha256 != pinned(GraderRef(name)).sha256:
        raise ValueError(f"the grader {name} was edited while the sweep ran: restore it, or run the same command again")
    made: Grader
    if loaded.takes_pattern and isinstance(loaded, type):
        made = loaded(pattern)
    elif pattern is not None:
        raise ValueError(f"the grader {name} takes no pattern: leave grader_pattern out")
    else:
        made = loaded() if isinstance(loaded, type) else loaded
    return made


def pinned(grader: GraderRef) -> GraderRef:
    """Add the hash of a plugin's source as it is now; leave a built-in grader as it is."""
    origin = GRADERS.origin(grader.name)
    return grader if origin is None else grader._replace(sha256=origin.sha256)


def gold_normal(grader: str | GraderRef | Grader, gold: str) -> str:
    """Bring a gold answer to normal form. ValueError if the grader is unknown, or requires another form."""
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
    """Make the named aggregate; ValueError where it is unknown."""
    return AGGREGATES.load(name)()
