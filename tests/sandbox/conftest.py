"""The sandboxes that this machine has, each once for all tests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from hyperscale.sandbox import SANDBOXES, Sandbox, open_sandbox
from tests import namespaces


@pytest.fixture(scope="session", params=list(SANDBOXES))
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """Each sandbox in turn. One that is installed and does not work is a failure, not a skip."""
    if not namespaces.allowed():
        pytest.skip("THIS MACHINE ALLOWS NO NAMESPACES: nothing of the sandbox is tested")
    if request.param == "bubblewrap" and shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed: HALF OF THE SANDBOX'S TESTS DO NOT RUN")
    opened = open_sandbox(request.param)
    yield opened
    opened.close()
