"""Fixtures that are slow to make and that several parts share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import gguf
import pytest
from hypothesis import settings
from transformers import PreTrainedModel

from hyperscale.model.load import Model, load_model
from tests.extent import ALL, QUICK
from tests.results.places import new_place, serve_s3
from tests.smollm2 import as_transformers, kept, smollm2_path

# A first call compiles; a busy machine is no failure.
settings.register_profile(QUICK, deadline=None)
settings.register_profile(ALL, deadline=None)

LONG = ("ray/test_ray.py", "test_smollm2.py", "test_decode_logits.py", "test_kill.py", "test_code_verdicts.py")
"""Begun first, so that no worker is left with them alone at the end."""
_REAL_MODEL = ("model/test_smollm2.py", "torch/test_smollm2.py", "torch/test_decode_logits.py")
"""Files that share one load of SmolLM2, half a minute of it."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="run everything: slow tests, and all cases of the others")


def pytest_configure(config: pytest.Config) -> None:
    # Two seconds a backend and budget; the tests of it ask for it.
    os.environ["HYPERSCALE_LATENCY"] = "false"
    settings.load_profile(ALL if config.getoption("--all") else QUICK)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    named = any("::" in argument for argument in config.args)
    if not named and not config.getoption("--all"):
        slow = [item for item in items if item.get_closest_marker("slow")]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in slow]
    items.sort(key=lambda item: not item.path.as_posix().endswith(LONG))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """A worker takes whole files, and those of the real model together."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file: str = super()._split_scope(nodeid)
            return "the real model" if file.endswith(_REAL_MODEL) else file

    return Scheduling(config, log)


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """An S3 server on this machine; its address."""
    yield from serve_s3()


@pytest.fixture(params=["memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A new results folder behind a URL: in fsspec's memory, or on S3 where a test's parameter says so."""
    if request.param == "s3":
        request.getfixturevalue("s3")
    return new_place(request.param, tmp_path)


@pytest.fixture(scope="session")
def smollm2_file() -> Iterator[Path]:
    path = smollm2_path()
    if path is None:
        pytest.skip("SmolLM2-135M is not here; `make` fetches it")
    with pytest.MonkeyPatch.context() as patched:
        # transformers and we open the file several times over, at four seconds each for its vocabulary.
        patched.setattr("gguf.GGUFReader", cache(gguf.GGUFReader))
        yield path


@pytest.fixture(scope="session")
def smollm2(smollm2_file: Path) -> Model:
    """SmolLM2-135M in our decoder, float32."""
    return kept(smollm2_file, "ours", lambda: load_model(str(smollm2_file), dtype="float32", device="cpu"))


@pytest.fixture(scope="session")
def smollm2_reference(smollm2_file: Path) -> PreTrainedModel:
    """SmolLM2-135M in transformers, float32, config and weights as transformers reads them."""
    return kept(smollm2_file, "transformers", lambda: as_transformers(smollm2_file))
