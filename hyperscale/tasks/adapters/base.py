"""What an adapter gives: the problems of a task whose rows need more than a map of columns, or that makes its own."""

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

    `text` fills {problem} of the task's prompt; `gold` is what the task's grader needs. An id names the same problem
    whatever the options: they choose problems, and what they change in one stands in its id.
    """

    id: str
    text: str
    gold: str


class Adapter(ABC):
    """How a task's rows become questions, and how its options choose among them. Never instantiated."""

    Options: ClassVar[type[BaseModel]]
    """A frozen model, extra="forbid", a default for every field. Values come as strings from the command line."""

    generates: ClassVar[bool] = False
    """Whether it makes its own rows: its task has neither hub_id nor rows nor generator."""

    @classmethod
    @abstractmethod
    def read(cls, task: Task, options: Any, data: Path | None) -> Dataset:
        """The rows that the options choose. Their revision is the same for all options; ValueError if there are none.

        `options` is an `Options`, `data` the folder of --data.
        """

    @classmethod
    @abstractmethod
    def question(cls, row: Mapping[str, Any], index: int, source: str, options: Any) -> Question:
        """The question of row `index`; ValueError, naming `source` and the row, where the row is not valid."""
