"""Hyper-parameters of backends as users write them: `tova.sink_tokens=4`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from hyperscale.backends import backend_class, backend_names
from hyperscale.config import OptionValue
from hyperscale.text import unknown, wording

MOST = 2**31 - 1
"""Largest whole number that a setting may be: backends keep positions in 32 bits."""


def parse_options(texts: Iterable[str]) -> tuple[tuple[str, str, OptionValue], ...]:
    """Parse each BACKEND.FIELD=VALUE into (backend, field, value), sorted, without those that are the default.

    Raises ValueError that names the wrong backend, field or value.
    """
    chosen: dict[tuple[str, str], OptionValue] = {}
    for text in texts:
        name, equals, given = text.partition("=")
        backend, _, field = (part.strip() for part in name.partition("."))
        if not (backend and field and equals):
            raise ValueError(f"--backend-option {text!r}: expected BACKEND.FIELD=VALUE, such as tova.sink_tokens=4")
        value = _value(backend, field, given.strip())
        first = chosen.setdefault((backend, field), value)
        if first != value:
            raise ValueError(f"--backend-option {backend}.{field}: given as {plain(first)} and as {plain(value)}")
    for backend in {backend for backend, _ in chosen}:
        make_settings(backend, {field: value for (name, field), value in chosen.items() if name == backend})
    return tuple(
        (backend, field, value)
        for (backend, field), value in sorted(chosen.items())
        if value != defaults(backend)[field]
    )


def make_settings(backend: str, options: Mapping[str, OptionValue]) -> Any:
    """Make the backend's settings with these fields changed; ValueError if they contradict one another."""
    try:
        return backend_class(backend).Settings(**options)
    except ValueError as error:
        raise ValueError(f"--backend-option {backend}: {error}") from None


def defaults(backend: str) -> dict[str, OptionValue]:
    """Map every field of the backend's settings to its default."""
    settings = backend_class(backend).Settings()
    return {field.name: getattr(settings, field.name) for field in fields(settings)}


def plain(value: object) -> str:
    """Format a setting as `parse_options` reads it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _value(backend: str, field: str, text: str) -> OptionValue:
    if backend not in backend_names():
        raise ValueError(f"--backend-option {backend}.{field}: {unknown('backend', backend, backend_names())}")
    hints = get_type_hints(backend_class(backend).Settings)
    if field not in hints:
        if not hints:
            raise ValueError(f"--backend-option {backend}.{field}: {backend} has no settings")
        raise ValueError(f"--backend-option {backend}.{field}: {unknown('setting', field, hints)}")
    try:
        value: OptionValue = TypeAdapter(hints[field]).validate_strings(text)
    except ValidationError as error:
        raise ValueError(f"--backend-option {backend}.{field}={text}: {wording(error.errors()[0])}") from None
    if isinstance(value, int) and abs(value) > MOST:
        raise ValueError(f"--backend-option {backend}.{field}={text}: must be between -{MOST:,} and {MOST:,}")
    return value
