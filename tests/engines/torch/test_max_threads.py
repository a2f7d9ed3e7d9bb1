"""The largest batch of threads is the one that the scheduler really lets run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from hyperscale.backends import backend_class, backend_names
from hyperscale.backends.memory import block_bounds_for, scheduled_threads
from hyperscale.engines.base import Job
from hyperscale.engines.torch.engine import TorchEngine
from hyperscale.model.load import Model, load_model
from tests.engines.torch.test_engine import SAMPLING
from tests.gated_models import write_gated_model

BUDGET = 24


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    made: dict[str, Model] = {}
    for name, layout in (("dms", "adapter"), ("dmc", "ours-dmc")):
        folder: Path = tmp_path_factory.mktemp("model") / layout
        write_gated_model(folder, layout)
        # No thread ends by itself: all are of the largest length. Gates give up all they can, so that no thread holds
        # more than is expected of it; where one does, the scheduler has others wait.
        model = replace(load_model(str(folder), dtype="float32", device="cpu"), eos_ids=frozenset())
        for layer in cast("Any", model.decoder.layers):
            layer.gate.spec = replace(layer.gate.spec, bias=1e6)
        assert model.spec.gates is not None
        made[name] = replace(model, spec=replace(model.spec, gates=replace(model.spec.gates, ratio=2.0)))
    return made


@pytest.mark.parametrize("name", backend_names())
@pytest.mark.parametrize(
    ("prompt", "width", "length", "pages"),
    [(5, 1, 40, 300), (17, 3, 64, 400), (16, 8, 90, 700), (31, 2, 48, 130), (40, 4, 64, 10_000)],
)
def test_it_is_the_most_that_ran_together(models, name, prompt, width, length, pages):
    policy, model = backend_class(name), models.get(name, models["dms"])
    bound: dict[str, Any] = {"cache_budget": BUDGET} if policy.knows_length else {}
    probe = TorchEngine(model, sampling=SAMPLING, length_cap=length, policy=policy, max_batch=2, **bound)
    memory = pages * probe.cache_shape.page_bytes
    bounds = block_bounds_for(model.spec, policy, policy.Settings(), bound.get("cache_budget"))
    expected = scheduled_threads(probe.cache_shape, memory, 20, prompt, width, length, bounds)
    if not expected:
        with pytest.raises(ValueError, match="cannot hold one thread"):
            TorchEngine(
                model, sampling=SAMPLING, length_cap=length, policy=policy, max_batch=20, memory_budget=memory, **bound
            )
        return
    ours = TorchEngine(
        model, sampling=SAMPLING, length_cap=length, policy=policy, max_batch=20, memory_budget=memory, **bound
    )
    tokens = tuple(range(20, 20 + prompt))
    jobs = [Job("t", f"p{i}", tokens, dict.fromkeys(range(width), length)) for i in range(-(-25 // width))]
    first = next(iter(ours.generate(jobs)))
    assert first.step_threads is not None
    assert first.step_threads[0] == expected
