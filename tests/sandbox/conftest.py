"""The sandboxes that this machine has, each once for all tests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from hyperscale.sandbox import SANDBOXES, Sandbox, open_sandbox
from tests import namespaces
from tests.sandbox.corpus import chosen


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items[:] = [item for item in items if item.path.name != "test_hostile.py" or _is_chosen(item)]


def _is_chosen(item: pytest.Item) -> bool:
    params = item.callspec.params if hasattr(item, "callspec") else {}
    return "name" not in params or params["name"] in chosen(params["sandbox"])


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
