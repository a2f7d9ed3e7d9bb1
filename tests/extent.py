"""How much is tested: `make test` runs the quick suite, `make test-all` (`pytest --all`) everything."""

from __future__ import annotations

from typing import TypeVar

from hypothesis import settings

T = TypeVar("T")
ALL, QUICK = "all", "quick"
"""Profiles of hypothesis; tests/conftest.py loads the one that was asked for before a test module is imported."""


def extent(quick: T, everything: T) -> T:
    """The first in the quick suite, the second in the whole."""
    return everything if settings.get_current_profile_name() == ALL else quick
