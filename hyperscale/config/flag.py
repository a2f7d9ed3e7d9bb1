"""Flag: how a config's field is typed; and refusals of its values, which name the flag."""

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
    """Turn the text into the field's value, or raise ValueError; None leaves it to the field's type."""
    show: Callable[[Any], str] | None = None
    """Write a default as it would be typed; None takes `str`."""
    before: str = ""
    """For a flag that is only typed: the config's field that it stands before in the help."""

    @property
    def key(self) -> str:
        """The name as a keyword argument."""
        return self.name.replace("-", "_")

    def value(self, typed: Any) -> Any:
        """Read the field's value; ValueError names the flag."""
        if self.read is None or not isinstance(typed, str):
            return typed
        try:
            return self.read(typed)
        except ValueError as error:
            raise ValueError(f"--{self.name}: {error}") from None

    def default(self, value: Any) -> Any:
        """Write a field's default as it would be typed; None for one that stands for nothing."""
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
    """Return the flag of each field that has one, in order, with its name filled in."""
    return {
        field: replace(flag, name=flag.name or _dashed(field))
        for field, info in model.model_fields.items()
        for flag in info.metadata
        if isinstance(flag, Flag)
    }


def read_flags(model: type[BaseModel], typed: Mapping[str, Any]) -> dict[str, Any]:
    """Read fields of `model` from typed values by the flags' keys; keys of other models are left out."""
    return {field: flag.value(typed[flag.key]) for field, flag in flags_of(model).items() if flag.key in typed}


def checked(model: type[Model], fields: Mapping[str, Any]) -> Model:
    """Validate `fields`; ValueError tells in one line all that is wrong, with the flags at fault."""
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
    """Name the flag that gives the value at this place of the model."""
    info = model.model_fields.get(str(field))
    for made in info.metadata if info is not None else ():
        if isinstance(made, MadeOf):
            return made.flags[int(place[1])] if len(place) == 2 else "/--".join(made.flags)
    flag = flags_of(model).get(str(field))
    return _dashed(str(field)) if flag is None else flag.name


def _dashed(field: str) -> str:
    return field.replace("_", "-")
