"""What the RULER tasks share: how many problems at which lengths, their ids, and the revision that pins them.

Lengths are in words, so that every model is asked the same problems whatever its tokenizer.
"""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, Field

from hyperscale.tasks.adapters.base import Adapter, Question
from hyperscale.tasks.data import Dataset

if TYPE_CHECKING:
    from hyperscale.tasks.task import Task

SHORTEST, LONGEST = 50, 200_000
"""Words that a context may have."""

_PROBES = 3


def _read_lengths(given: object) -> object:
    """`1000,3000` as numbers, ascending, none twice."""
    entries = given.split(",") if isinstance(given, str) else given
    if not isinstance(entries, list | tuple):
        entries = [entries]
    try:
        lengths = sorted({int(str(entry)) for entry in entries})
    except ValueError:
        lengths = []
    if not lengths or lengths[0] < SHORTEST or lengths[-1] > LONGEST:
        raise ValueError(f"must be a comma list of words of a context, each from {SHORTEST} to {LONGEST:,}")
    return tuple(lengths)


Lengths = Annotated[tuple[int, ...], BeforeValidator(_read_lengths)]


class RulerOptions(BaseModel, frozen=True, extra="forbid"):
    """Which problems: so many at each length."""

    lengths: Lengths = Field(default=(3400,), description="words of the context; a comma list")
    problems: int = Field(default=500, ge=1, le=10_000, description="problems at each length")


class Ruler(Adapter):
    """A task of RULER. Problem i of a length is the same whatever else is asked for."""

    Options: ClassVar[type[RulerOptions]] = RulerOptions
    generates = True

    @classmethod
    def read(cls, task: Task, options: Any, data: Path | None) -> Dataset:
        """A row for each problem, those of one index side by side: --limit keeps all lengths alike."""
        rows: list[Mapping[str, Any]] = [
            {"length": length, "index": index} for index in range(options.problems) for length in options.lengths
        ]
        return Dataset(f"adapter {task.adapter}", rows, cls.revision())

    @classmethod
    def revision(cls) -> str:
        """Hash of what default options ask at a short length: another one means that problems have changed."""
        options = cls.Options()
        asked = [cls.make(options, 1000, index) for index in range(_PROBES)]
        return f"sha256:{hashlib.sha256(json.dumps(asked).encode()).hexdigest()}"

    @classmethod
    def question(cls, row: Mapping[str, Any], index: int, source: str, options: Any) -> Question:
        """The problem of a row."""
        return cls.make(options, row["length"], row["index"])

    @classmethod
    @abstractmethod
    def make(cls, options: Any, length: int, index: int) -> Question:
        """Problem `index` with a context of at most `length` words, as near to it as whole sentences come."""
