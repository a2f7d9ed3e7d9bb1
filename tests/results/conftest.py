from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hyperscale.results.store import Store
from tests.results.places import new_place, serve_s3

KINDS = ["local", "memory", "s3"]


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    yield from serve_s3()


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A new results folder on a disk, in fsspec's memory and on S3."""
    if request.param == "s3":
        request.getfixturevalue("s3")
    return new_place(request.param, tmp_path)


@pytest.fixture(params=["memory", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A new results folder behind a URL."""
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
