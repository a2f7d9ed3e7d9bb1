"""A config's field as it is typed, and what a user is told of a value that it refuses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from hyperscale.text import wording

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Flag:
    """One declaration of a flag --NAME, a variable HYPERSCALE_NAME and a key NAME of a --config file.

    Stands in the `Annotated` of a field. Its type and default are the field's.
    """

    panel: str
    help: str
    name: str = ""
    """Without dashes; the field's own if empty."""
    short: str = ""
    off: str = ""
    """Spelling that sets a switch to False."""
    metavar: str | None = None
    repeated: bool = False
    """Given once for each entry of the field."""
    read: Callable[[str], Any] | None = None
    """Make the field's value of the text typed, or raise ValueError. None: the text is of the field's own type."""
    show: Callable[[Any], str] | None = None
    """Write a default as it would be typed; None takes `str`."""
    before: str = ""
    """For a flag that is only typed: the config's field that it stands before in the help."""

    @property
    def key(self) -> str:
        """Its name as a keyword argument."""
        return self.name.replace("-", "_")

    def value(self, typed: Any) -> Any:
        """The field's value of what was typed; ValueError names the flag."""
        if self.read is None or not isinstance(typed, str):
            return typed
        try:
            return self.read(typed)
        except ValueError as error:
            raise ValueError(f"--{self.name}: {error}") from None

    def default(self, value: Any) -> Any:
        """A field's default as it would be typed; None where nothing is the default."""
        if value is None or value == ():
            return None
        if self.show is not None:
            return self.show(value)
        return ",".join(map(str, value)) if isinstance(value, tuple) else value


@dataclass(frozen=True)
class MadeOf:
    """Marks a field of tuples that several flags give: part i of each tuple comes from the i-th of `flags`."""

    flags: tuple[str, ...]


def flags_of(model: type[BaseModel]) -> dict[str, Flag]:
    """Each field that has a flag, in order."""
    return {
        field: replace(flag, name=flag.name or _dashed(field))
        for field, info in model.model_fields.items()
        for flag in info.metadata
        if isinstance(flag, Flag)
    }


def read_flags(model: type[BaseModel], typed: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of `model` from what was typed, by the flags' keys; keys of other models are left out."""
    return {field: flag.value(typed[flag.key]) for field, flag in flags_of(model).items() if flag.key in typed}


def checked(model: type[Model], fields: Mapping[str, Any]) -> Model:
    """The model of `fields`; ValueError tells all that is wrong in one line, with the flags at fault."""
    try:
        return model(**fields)
    except ValidationError as error:
        # pydantic also calls a list short whose entries it refused.
        details = [detail for detail in error.errors() if not (detail["type"] == "too_short" and detail["input"])]
        raise ValueError("; ".join(dict.fromkeys(_told(model, detail) for detail in details))) from None


def _told(model: type[BaseModel], detail: ErrorDetails) -> str:
    if not detail["loc"] or detail["type"] == "value_error":
        return wording(detail)
    flag = f"--{_name(model, *detail['loc'])}"
    return f"{flag} is missing" if detail["type"] == "missing" else f"{flag} {detail['input']!r}: {wording(detail)}"


def _name(model: type[BaseModel], field: int | str, *place: int | str) -> str:
    """Name of the flag that a value at this place of the model comes from."""
    info = model.model_fields.get(str(field))
    for made in info.metadata if info is not None else ():
        if isinstance(made, MadeOf):
            return made.flags[int(place[1])] if len(place) == 2 else "/--".join(made.flags)
    flag = flags_of(model).get(str(field))
    return _dashed(str(field)) if flag is None else flag.name


def _dashed(field: str) -> str:
    return field.replace("_", "-")
