"""Read options of tasks with an adapter: `lengths=1000,3000`, `ruler_vt.hops=4`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError

from hyperscale.plugins import unknown
from hyperscale.tasks.adapters import ADAPTERS
from hyperscale.text import wording

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

    from hyperscale.tasks.task import Task

FLAG = "--task-option"
TaskOption = tuple[str, str, str]
"""(task, key, value); an empty task means every task that has the key."""


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
