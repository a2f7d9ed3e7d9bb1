"""The contract of an adapter: it reads a task's rows where a map of columns does not do, or generates them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from pydantic import BaseModel

from hyperscale.tasks.data import Dataset

if TYPE_CHECKING:
    from hyperscale.tasks.task import Task


class Question(NamedTuple):
    """One problem of an adapter.

    `text` fills {problem} of the task's prompt; `gold` is the gold for the task's grader. An id names the same problem
    under all options: an option that changes a problem is part of its id.
    """

    id: str
    text: str
    gold: str


class Adapter(ABC):
    """An adapter: turns a task's rows into questions, as its options choose them. Never instantiated."""

    Options: ClassVar[type[BaseModel]]
    """A frozen model, extra="forbid", with a default for every field. The command line gives its values as strings."""

    generates: ClassVar[bool] = False
    """True if it generates its rows: its task has neither hub_id nor rows nor generator."""

    @classmethod
    @abstractmethod
    def read(cls, task: Task, options: Any, data: Path | None) -> Dataset:
        """Read or generate the rows that the options choose, with one revision for all options. ValueError if none.

        `options` is an `Options`, `data` the folder of --data.
        """

    @classmethod
    @abstractmethod
    def question(cls, row: Mapping[str, Any], index: int, source: str, options: Any) -> Question:
        """Turn row `index` into a question; ValueError, naming `source` and the row, where it is not valid."""
