from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hyperscale.results.store import Store
from tests.results.places import new_place


@pytest.fixture(params=["local", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A new results folder on a disk and in fsspec's memory, or on S3 where a test's parameter says so."""
    if request.param == "s3":
        request.getfixturevalue("s3")
    return new_place(request.param, tmp_path)


@pytest.fixture
def store(place: Path) -> Iterator[Store]:
    with Store(place) as store:
        yield store


@pytest.fixture
def local_store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "results" / "x") as store:
        yield store
