"""Shared by the RULER tasks: lengths, numbers of problems, ids, and the revision that pins them.

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
"""Limits on a context (words)."""

_PROBES = 3


def _read_lengths(given: object) -> object:
    """Read `1000,3000` as numbers, ascending, without duplicates."""
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
    """Lengths, and the number of problems at each."""

    lengths: Lengths = Field(default=(3400,), description="words of the context; a comma list")
    problems: int = Field(default=500, ge=1, le=10_000, description="problems at each length")


class Ruler(Adapter):
    """A task of RULER. Problem i of a length is the same under all other options."""

    Options: ClassVar[type[RulerOptions]] = RulerOptions
    generates = True

    @classmethod
    def read(cls, task: Task, options: RulerOptions, data: Path | None) -> Dataset:
        """Generate a row for each problem, ordered by index, then length, so that --limit keeps all lengths alike."""
        rows: list[Mapping[str, Any]] = [
            {"length": length, "index": index} for index in range(options.problems) for length in options.lengths
        ]
        return Dataset(f"adapter {task.adapter}", rows, cls.revision())

    @classmethod
    def revision(cls) -> str:
        """Hash the first problems of default options at a short length: it changes where the problems do."""
        options = cls.Options()
        asked = [cls.make(options, 1000, index) for index in range(_PROBES)]
        return f"sha256:{hashlib.sha256(json.dumps(asked).encode()).hexdigest()}"

    @classmethod
    def question(cls, row: Mapping[str, Any], index: int, source: str, options: RulerOptions) -> Question:
        """Make the problem of a row."""
        return cls.make(options, row["length"], row["index"])

    @classmethod
    @abstractmethod
    def make(cls, options: Any, length: int, index: int) -> Question:
        """Make problem `index`, with a context of at most `length` words, as near to it as whole sentences come."""
