"""Check a task file beyond the types of its fields; read options of tasks with an adapter: `lengths=1000,3000`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError

from hyperscale.plugins import unknown
from hyperscale.tasks.adapters import ADAPTERS
from hyperscale.tasks.generators import GENERATORS
from hyperscale.tasks.task import LETTERS, PLACEHOLDER, Task
from hyperscale.text import wording

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

    from hyperscale.tasks.adapters.base import Adapter

FLAG = "--task-option"
TaskOption = tuple[str, str, str]
"""(task, key, value); an empty task means every task that has the key."""

_OF_THE_HUB = ("hub_config", "revision", "local", "local_split")


def parse_task_options(texts: Iterable[str]) -> tuple[TaskOption, ...]:
    """Parse each [TASK.]KEY=VALUE to (task or "", key, value), sorted; ValueError for another form or a second value.

    A task's name may hold dots, a key may not.
    """
    chosen: dict[tuple[str, str], str] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        task, dot, key = (part.strip() for part in name.rpartition("."))
        if not (key and equals) or bool(task) != bool(dot):
            raise ValueError(f"{FLAG} {text!r}: expected [TASK.]KEY=VALUE, such as ruler_niah.lengths=1000,3000")
        first = chosen.setdefault((task, key), value)
        if first != value:
            raise ValueError(f"{FLAG} {name}: given as {first} and as {value}")
    return tuple(sorted((task, key, value) for (task, key), value in chosen.items()))


def check_task_options(tasks: Sequence[Task], given: Sequence[TaskOption]) -> None:
    """Refuse an option of a task not among `tasks`, an unknown key, or a value that is not valid: ValueError."""
    keys = {task.name: list(_fields(task)) for task in tasks}
    for name, key, _ in given:
        flag = f"{FLAG} {name}.{key}" if name else f"{FLAG} {key}"
        if name and name not in keys:
            raise ValueError(f"{flag}: {name} is not among --tasks {','.join(keys)}")
        known = keys[name] if name else list(dict.fromkeys(key for of in keys.values() for key in of))
        if not known:
            raise ValueError(f"{flag}: {name or ', '.join(keys)} has no options")
        if key not in known:
            raise ValueError(f"{flag}: {unknown('option', key, known)}")
    for task in tasks:
        if task.adapter is not None:
            make_options(task, given)


def make_options(task: Task, given: Sequence[TaskOption] = ()) -> BaseModel:
    """Make the options of a task with an adapter: those given, over its TOML file's, over the adapter's defaults.

    An option given for the task wins over one given for all tasks. ValueError names the option that is not valid.
    """
    fields = _fields(task)
    chosen = chosen_for(task, given)
    for key in chosen.keys() - fields.keys():
        raise ValueError(f"{FLAG} {task.name}.{key}: {unknown('option', key, fields)}")
    try:
        return _model(task).model_validate({**task.options, **chosen})
    except ValidationError as error:
        detail = error.errors()[0]
        raise ValueError(f"{FLAG} {task.name}{_place(detail, chosen)}: {wording(detail)}") from None


def chosen_for(task: Task, given: Sequence[TaskOption]) -> dict[str, str]:
    """Select the options given for a task, and those given for all tasks that it has."""
    fields = _fields(task)
    for_all = {key: value for name, key, value in given if not name and key in fields}
    return for_all | {key: value for name, key, value in given if name == task.name}


def shown(options: BaseModel) -> dict[str, str]:
    """Format options as `parse_task_options` reads them; those that are not set are empty."""
    return {key: _plain(value) for key, value in options}


def _plain(value: object) -> str:
    if isinstance(value, tuple | list):
        return ",".join(map(_plain, value))
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _place(detail: ErrorDetails, chosen: Mapping[str, str]) -> str:
    if not detail["loc"]:
        return f" ({', '.join(f'{key}={value}' for key, value in chosen.items())})"
    key = str(detail["loc"][0])
    return f".{key}={chosen.get(key, '')}"


def _fields(task: Task) -> Mapping[str, FieldInfo]:
    return {} if task.adapter is None else _model(task).model_fields


def _model(task: Task) -> type[BaseModel]:
    assert task.adapter is not None, "options belong to an adapter"
    return ADAPTERS[task.adapter].Options


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
