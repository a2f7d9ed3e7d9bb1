"""The built-in backends as subjects of the contract: settings, and their references in tests/reference."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from hyperscale.backends import backend_class
from hyperscale.testing.subject import Subject


def subject(backend: str, settings: Any = None, **fields: Any) -> Subject:
    """Make a subject of a built-in backend and tests/reference/cache_<backend>.py."""
    reference = import_module(f"tests.reference.cache_{backend}").Reference
    return Subject(backend_class(backend), reference, settings, **fields)
