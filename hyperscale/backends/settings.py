"""Hyper-parameters of backends as users write them: `tova.sink_tokens=4`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from hyperscale.backends import backend_class
from hyperscale.config import OptionValue, unknown


def parse_options(texts: Iterable[str]) -> tuple[tuple[str, str, OptionValue], ...]:
    """(backend, field, value) of each BACKEND.FIELD=VALUE, sorted, without those that are the default.

    ValueError names the backend, the field or the value that is wrong.
    """
    chosen: dict[tuple[str, str], OptionValue] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        backend, dot, field = name.strip().partition(".")
        if not (equals and dot):
            raise ValueError(f"--backend-option {text!r}: expected BACKEND.FIELD=VALUE, such as tova.sink_tokens=4")
        chosen[backend, field] = _value(backend, field, value.strip())
    for backend in {backend for backend, _ in chosen}:
        make_settings(backend, {field: value for (name, field), value in chosen.items() if name == backend})
    return tuple(
        (backend, field, value)
        for (backend, field), value in sorted(chosen.items())
        if value != defaults(backend)[field]
    )


def make_settings(backend: str, options: Mapping[str, OptionValue]) -> Any:
    """The backend's settings with these fields changed; ValueError if they contradict one another."""
    try:
        return backend_class(backend).Settings(**options)
    except ValueError as error:
        raise ValueError(f"--backend-option {backend}: {error}") from None


def defaults(backend: str) -> dict[str, OptionValue]:
    """Every field of the backend's settings with its default."""
    settings = backend_class(backend).Settings()
    return {field.name: getattr(settings, field.name) for field in fields(settings)}


def _value(backend: str, field: str, text: str) -> OptionValue:
    kind = backend_class(backend).Settings
    hints = get_type_hints(kind)
    if field not in hints:
        if not hints:
            raise ValueError(f"--backend-option {backend}.{field}: {backend} has no settings")
        raise ValueError(f"--backend-option {backend}.{field}: {unknown('setting', field, hints)}")
    try:
        value: OptionValue = TypeAdapter(hints[field]).validate_strings(text)
    except ValidationError as error:
        raise ValueError(f"--backend-option {backend}.{field}={text}: {error.errors()[0]['msg']}") from None
    return value
