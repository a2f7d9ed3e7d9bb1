"""Hyper-parameters of backends as users write them: `tova.sink_tokens=4`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from hyperscale.backends import backend_class, backend_names
from hyperscale.config import OptionValue
from hyperscale.plugins import is_file_reference, unknown
from hyperscale.text import wording

if TYPE_CHECKING:
    from hyperscale.backends.base import Backend

MOST = 2**31 - 1
"""Largest whole number that a setting may be: backends keep positions in 32 bits."""


def parse_options(texts: Iterable[str], backends: Sequence[str] = ()) -> tuple[tuple[str, str, OptionValue], ...]:
    """Parse BACKEND.FIELD=VALUE into (backend, field, value), sorted, without those that are the default.

    `backends` are those of --backends, among which PATH.py:CLASS is known by its class's name. ValueError names the
    backend, the field or the value that is wrong.
    """
    files = _files(backends)
    chosen: dict[tuple[str, str], OptionValue] = {}
    for text in texts:
        name, equals, given = text.partition("=")
        backend, _, field = (part.strip() for part in name.partition("."))
        if not (backend and field and equals):
            raise ValueError(f"--backend-option {text!r}: expected BACKEND.FIELD=VALUE, such as tova.sink_tokens=4")
        value = _value(_known(backend, field, files), field, given.strip())
        first = chosen.setdefault((backend, field), value)
        if first != value:
            raise ValueError(f"--backend-option {backend}.{field}: given as {plain(first)} and as {plain(value)}")
    policies = {backend: backend_class(files.get(backend, backend)) for backend, _ in chosen}
    for backend, policy in policies.items():
        make_settings(policy, {field: value for (name, field), value in chosen.items() if name == backend})
    return tuple(
        (backend, field, value)
        for (backend, field), value in sorted(chosen.items())
        if value != defaults(policies[backend])[field]
    )


def make_settings(policy: type[Backend], options: Mapping[str, OptionValue]) -> Any:
    """Make a backend's settings with these fields changed; ValueError if they contradict one another."""
    try:
        return policy.Settings(**options)
    except (ValueError, TypeError) as error:
        raise ValueError(f"--backend-option {policy.name}: {error}") from None


def defaults(policy: type[Backend]) -> dict[str, OptionValue]:
    """Every field of a backend's settings with its default."""
    settings = policy.Settings()
    return {field.name: getattr(settings, field.name) for field in fields(settings)}


def plain(value: object) -> str:
    """Format a setting as `parse_options` reads it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _files(backends: Iterable[str]) -> dict[str, str]:
    """Map the class's name of each file reference among --backends to it."""
    try:
        return {backend_class(source).name: source for source in backends if is_file_reference(source)}
    except ValueError as error:
        raise ValueError(f"--backends: {error}") from None


def _known(backend: str, field: str, files: Mapping[str, str]) -> type[Backend]:
    names = [*backend_names(), *files]
    if backend not in names:
        raise ValueError(f"--backend-option {backend}.{field}: {unknown('backend', backend, names)}")
    return backend_class(files.get(backend, backend))


def _value(policy: type[Backend], field: str, text: str) -> OptionValue:
    backend, hints = policy.name, get_type_hints(policy.Settings)
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
