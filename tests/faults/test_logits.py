"""Logits that are not finite: told with problem, thread and step, never drawn from; what had ended is on disk."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from hyperscale.config import Sampling
from hyperscale.engines.torch.sampling import draw
from hyperscale.model.decoder import Decoder
from tests.folders import table
from tests.sums import sweep_tiny, write_sums
from tests.tiny_models import write_tiny_model

pytestmark = pytest.mark.usefixtures("fast_disk")

BROKEN = [float("nan"), float("inf"), float("-inf")]
SAMPLINGS = {
    "greedy": Sampling(temperature=0),
    "plain": Sampling(temperature=1, top_p=1.0),
    "nucleus": Sampling(temperature=0.6, top_p=0.9, top_k=5, min_p=0.05),
}


@pytest.mark.parametrize("name", SAMPLINGS)
@pytest.mark.parametrize("value", BROKEN)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_row_that_is_not_finite_is_never_drawn_from(name: str, value: float, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    for place in (0, 17, 49):
        logits = torch.randn(4, 50, generator=generator).to(dtype)
        logits[1, place] = value
        logits[3] = value
        tokens = draw(logits, SAMPLINGS[name], np.full(4, 0.5))
        assert (tokens >= 0).tolist() == [True, False, True, False]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model"))


def test_the_sweep_names_the_step_and_keeps_what_had_ended(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    task, real, fed = write_sums(tmp_path, problems=3), Decoder.logits, [0]
    arguments = ("--widths", "2,4", "--lengths", "32,48", "--max-batch", "4")
    whole = table(sweep_tiny(tmp_path / "whole", model, task, *arguments), "samples")

    def broken(self: Decoder, x_nd: Tensor) -> Tensor:
        logits_nv = real(self, x_nd).clone()
        fed[0] += len(x_nd)
        if fed[0] > 150:
            logits_nv[-1, 3] = float("nan")
        return logits_nv

    with monkeypatch.context() as patched:
        patched.setattr(Decoder, "logits", broken)
        capsys.readouterr()
        sweep_tiny(tmp_path / "out", model, task, *arguments, exit_code=2)
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    named = re.search(r"logits are not finite \(task sums, problem (\d), thread (\d), token (\d+)\)", line)
    assert named is not None
    kept = table(tmp_path / "out", "samples")
    assert 0 < len(kept) < len(whole)
    assert (named[1], int(named[2])) not in set(zip(kept["problem_id"], kept["thread"], strict=True))
    sweep_tiny(tmp_path / "out", model, task, *arguments)
    untimed = ["problem_id", "thread", "tokens", "text", "finish_reason", "step_reads", "step_live"]
    resumed = table(tmp_path / "out", "samples")
    assert resumed[untimed].equals(whole[untimed])
    done = resumed.merge(kept[["problem_id", "thread", "step_micros"]], on=["problem_id", "thread"])
    assert done["step_micros_x"].equals(done["step_micros_y"]), "what had ended was drawn again"


def test_threads_that_end_in_the_broken_step_itself_are_kept(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, real = write_sums(tmp_path, problems=1), Decoder.logits
    arguments = ("--budget", "64", "--min-length", "32", "--max-batch", "2")  # caps of 64 and 32 tokens
    whole = table(sweep_tiny(tmp_path / "whole", model, task, *arguments), "samples")
    steps = whole["generated_tokens"].tolist()
    assert steps[0] != steps[1], "one thread is to end before the other"
    calls = iter(range(-3, 10**6))

    def broken(self: Decoder, x_nd: Tensor) -> Tensor:
        # The calls before 0 warm the engine up; 0 is the prompt's, n the n-th step's.
        logits_nv = real(self, x_nd)
        return logits_nv if next(calls) < min(steps) else torch.full_like(logits_nv, float("nan"))

    with monkeypatch.context() as patched:
        patched.setattr(Decoder, "logits", broken)
        sweep_tiny(tmp_path / "out", model, task, *arguments, exit_code=2)
    assert table(tmp_path / "out", "samples")["thread"].tolist() == [int(np.argmin(steps))]
