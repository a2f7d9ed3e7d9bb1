"""These tests run in the environment that has vLLM (`make test-vllm`); in any other there is nothing to collect.

vLLM takes half a minute to start on two cores, nearly all of it imports. So one of each kind serves all tests, and what
must start a vLLM of its own begins in the background before the first test does.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.vllm.background import Background, sweep_tiny

collect_ignore_glob = ["test_*.py"] if find_spec("vllm") is None else []
QUIRKS = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "2",
}
"""Environment of vLLM on a small machine without a GPU: 1 GiB of cache, and cores that are shared with others."""
SECONDS = 600
"""For one test, which may have to wait until numba has compiled our kernels and vLLM has started, beside others."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(SECONDS))


@pytest.fixture(scope="session", autouse=True)
def small_machine() -> Iterator[None]:
    """vLLM's settings for one, as a user would make them."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in QUIRKS.items():
            if name not in os.environ:
                patch.setenv(name, value)
        # Eager operators in place of half a minute's compilation: what is computed is the same.
        patch.setenv("VLLM_CPU_CI_ENV", "1")
        # `tests` sets it for our own kernels; vLLM looks for its own ones in Triton, and trips over an interpreter.
        patch.delenv("TRITON_INTERPRET", raising=False)
        # A part for each sample: tests count them.
        patch.setattr("hyperscale.sweep.write_behind.SECONDS", 0.0)
        yield


@pytest.fixture(scope="session", autouse=True)
def background(small_machine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Background]:
    with Background(tmp_path_factory.mktemp("background")) as started:
        yield started


@pytest.fixture(scope="session", autouse=True)
def shared_vllm(background: Background) -> Iterator[dict[str, Any]]:
    """Every engine that asks for the same vLLM gets the same one, by its arguments."""
    from hyperscale.engines.vllm import engine as vllm_engine
    from hyperscale.engines.vllm.process import VllmProcess

    started: dict[str, VllmProcess] = {}

    def process(arguments: dict[str, Any], **rest: Any) -> VllmProcess:
        key = repr(sorted((arguments | rest).items()))
        if key not in started:
            started[key] = VllmProcess(arguments, **rest)
        return started[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vllm_engine, "VllmProcess", process)
        yield started
    for vllm in started.values():
        vllm.close()


@pytest.fixture(scope="session")
def swept(background: Background, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same sweep by both engines."""
    from hyperscale.cli.main import run

    folders = {engine: tmp_path_factory.mktemp("swept") / engine for engine in ("torch", "vllm")}
    for engine, folder in folders.items():
        assert run(sweep_tiny(folder, "--engine", engine)) == 0
    return folders
