"""More prompt tokens than vLLM prefills in a step: on a CPU that step is not to end within a prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hyperscale.config import make_config
from hyperscale.engines.vllm import engine as vllm_engine
from hyperscale.engines.vllm.engine import VllmEngine
from hyperscale.model.load import load_text
from tests.tiny_models import write_tiny_model
from tests.vllm.engines import BATCH, LONGEST, by_thread, engine, job

STEP, PROMPT = 4096, LONGEST - 8


def test_sampled_threads_whose_prompts_exceed_a_step() -> None:
    vllm = engine(temperature=0.8)
    assert BATCH * PROMPT > STEP
    jobs = [job(i, {0: LONGEST}, prompt=PROMPT) for i in range(2 * BATCH)]
    together = by_thread(list(vllm.generate(jobs)))
    assert len(together) == 2 * BATCH
    scheduler = vllm._vllm._engine.vllm_config.scheduler_config
    assert (scheduler.max_num_batched_tokens, scheduler.enable_chunked_prefill) == (STEP, False)
    alone = by_thread(list(vllm.generate(jobs[-2:])))
    assert alone == {key: together[key] for key in alone}


def test_a_prompt_may_be_longer_than_a_step_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """vLLM takes what the engine gives it, and makes room for the longest sequence in one step."""
    from vllm import EngineArgs
    from vllm.usage.usage_lib import UsageContext

    given: dict[str, Any] = {}
    monkeypatch.setattr(vllm_engine, "VllmProcess", lambda settings, **_: given.update(settings))
    model = str(write_tiny_model(tmp_path / "model", max_position_embeddings=16_384))
    config = make_config(
        model=model, tasks=("t",), grid=((1, 3 * STEP),), engine="vllm", dtype="float32", output_dir=Path("out")
    )
    assert VllmEngine(config, load_text(model))._vllm is None
    made = EngineArgs(**given).create_engine_config(UsageContext.LLM_CLASS)
    assert made.scheduler_config.max_num_batched_tokens == 3 * STEP
