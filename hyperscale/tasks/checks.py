"""Check a task file beyond the types of its fields."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

from pydantic import ValidationError

from hyperscale.plugins import unknown
from hyperscale.tasks.task import LETTERS, PLACEHOLDER, Task

if TYPE_CHECKING:
    from hyperscale.tasks.adapters.base import Adapter

_OF_THE_HUB = ("hub_config", "revision", "local", "local_split")


def check_task(task: Task) -> None:
    """Refuse a task with contradictory fields: ValueError naming the field."""
    _check_grading(task)
    _check_source(task)
    wanted = {"problem", *(LETTERS if task.grader == "choice" else "")}
    if (found := set(PLACEHOLDER.findall(task.prompt))) != wanted:
        raise ValueError(f"prompt must hold the placeholders {_places(wanted)}, it holds {_places(found)}")
    if task.columns is not None and len(task.columns.distractors) != (3 if task.grader == "choice" else 0):
        raise ValueError("columns.distractors must name 3 columns for the grader choice, none for others")


def _check_grading(task: Task) -> None:
    """Refuse a grader or an aggregate that cannot be loaded, or that does not fit the other: ValueError."""
    from hyperscale.grading.registry import AGGREGATES, load_aggregate, load_grader

    grader = load_grader(task.grader_ref)
    if task.aggregate not in AGGREGATES.names():
        raise ValueError(f"aggregate: {unknown('aggregate', task.aggregate, AGGREGATES.names())}")
    if grader.sandboxed and load_aggregate(task.aggregate).votes:
        free = " or ".join(f'"{name}"' for name in AGGREGATES.names() if not load_aggregate(name).votes)
        raise ValueError(f"aggregate must be {free} with the grader code: programs are tested, they do not vote")


def _check_source(task: Task) -> None:
    """Refuse a task without exactly one origin of its rows and one way to read them: ValueError."""
    adapter = None if task.adapter is None else _check_adapter(task, task.adapter)
    if task.grader == "code" and adapter is None:
        raise ValueError("the grader code needs an adapter that gives tests, such as livecodebench or humaneval")
    given = [name for name in ("hub_id", "rows", "generator") if getattr(task, name) is not None]
    if adapter is not None and adapter.generates:
        if given:
            raise ValueError(f"{given[0]} must not be given: the adapter {task.adapter} makes its own rows")
        _check_no_hub(task, f"the adapter {task.adapter}")
        return
    if len(given) != 1:
        raise ValueError(f"give one of hub_id, rows and generator, not {' and '.join(given) or 'none'}")
    if task.hub_id is not None and task.revision is None:
        raise ValueError("revision is missing: pin the commit of the dataset")
    if task.generator is not None:
        _check_generator(task, task.generator)
    if adapter is None and task.options:
        raise ValueError("options belong to an adapter, this task has none")
    if adapter is None and task.columns is None:
        raise ValueError("columns: Field required")


def _check_adapter(task: Task, name: str) -> type[Adapter]:
    from hyperscale.tasks.adapters import ADAPTERS

    if name not in ADAPTERS:
        raise ValueError(f"no adapter {name!r}{hint(name, list(ADAPTERS))}; adapters: {', '.join(ADAPTERS)}")
    if task.columns is not None:
        raise ValueError(f"columns must not be given: the adapter {name} reads the rows")
    if task.generator is not None:
        raise ValueError("give an adapter or a generator, not both")
    if task.grader == "choice":
        raise ValueError("the grader choice needs columns, an adapter has none")
    try:
        ADAPTERS[name].Options.model_validate(task.options)
    except ValidationError as error:
        detail = error.errors()[0]
        place = ".".join(["options", *map(str, detail["loc"])])
        raise ValueError(f"{place}: {detail['msg'].removeprefix('Value error, ')}") from None
    return ADAPTERS[name]


def _check_generator(task: Task, name: str) -> None:
    from hyperscale.tasks.generators import GENERATORS

    if name not in GENERATORS:
        raise ValueError(f"no generator {name!r}{hint(name, list(GENERATORS))}; generators: {', '.join(GENERATORS)}")
    if task.problems is None:
        raise ValueError("problems is missing: say how many the generator makes")
    if task.problems > (most := GENERATORS[name].most_problems):
        raise ValueError(f"problems = {task.problems}: the generator {name} makes a set of {most:,} at most")
    if task.split not in ("train", "test"):
        raise ValueError(f"split of a generator must be train or test, got {task.split!r}")
    _check_no_hub(task, "a generator")


def _check_no_hub(task: Task, what: str) -> None:
    for field in _OF_THE_HUB:
        if getattr(task, field) is not None:
            raise ValueError(f"{field} belongs to a dataset of the hub, {what} has none")


def hint(wanted: str, known: Sequence[str]) -> str:
    """Return `, did you mean 'x'?` where a known name is near to the wanted one, else an empty string."""
    near = get_close_matches(wanted, known, n=3, cutoff=0.5)
    return f", did you mean {' or '.join(repr(name) for name in near)}?" if near else ""


def _places(names: set[str]) -> str:
    return " ".join(f"{{{name}}}" for name in sorted(names, key=lambda name: (name != "problem", name))) or "none"
