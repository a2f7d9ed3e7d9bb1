from __future__ import annotations

from collections.abc import Generator

import numba
import pytest
import torch


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Generator[None, None, None]:
    """Thousands of small kernels: on a busy machine each would wait for its helpers. Engine tests use all threads."""
    threads = numba.get_num_threads(), torch.get_num_threads()
    numba.set_num_threads(1)
    torch.set_num_threads(1)
    yield
    numba.set_num_threads(threads[0])
    torch.set_num_threads(threads[1])
