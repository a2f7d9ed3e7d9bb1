from __future__ import annotations

from collections.abc import Iterator

import pytest

from hyperscale.grading import GradingPool


@pytest.fixture(scope="session")
def pool() -> Iterator[GradingPool]:
    with GradingPool(workers=2, timeout=5.0) as pool:
        yield pool
