"""vLLM against the torch engine: the same greedy tokens from SmolLM2-135M, the same accuracy of the small model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from hyperscale.cli.main import run
from hyperscale.config import Sampling, make_config
from hyperscale.engines.base import Job
from hyperscale.engines.torch.engine import TorchEngine
from hyperscale.engines.vllm.engine import VllmEngine
from hyperscale.model.chat import encode_prompt
from hyperscale.model.checkpoint import as_folder
from hyperscale.model.load import load_model, load_text
from hyperscale.model.source import CheckpointFiles
from tests.folders import rows, table
from tests.shared_data import shared_rows
from tests.vllm.background import sweep_tiny

PROMPTS, NEW_TOKENS = 20, 32
OWN = Path(__file__).resolve().parents[2] / "tasks" / "arithmetic.jsonl"


def questions() -> list[str]:
    """GSM8K's first ones; where they are not at hand, those of the task that comes along."""
    path, column = shared_rows("gsm8k/test.jsonl"), "question"
    if path is None:
        path, column = OWN, "problem"
    with path.open() as lines:
        found = [json.loads(line)[column] for line, _ in zip(lines, range(PROMPTS), strict=False)]
    assert len(found) == PROMPTS
    return found


def test_greedy_tokens_are_the_torch_engines(
    smollm2_file: Path, record_property: Callable[[str, object], None]
) -> None:
    """Of all tokens at least 95 % come before the first one that differs."""
    # Reading a GGUF file takes both engines long: they share the folder that vLLM needs of it.
    folder = str(as_folder(CheckpointFiles(smollm2_file, None)))
    model = load_model(folder, dtype="float32", device="cpu")
    prompts = [tuple(encode_prompt(model.tokenizer, question)) for question in questions()]
    cap = max(map(len, prompts)) + NEW_TOKENS
    jobs = [Job("gsm8k", str(i), prompt, {0: len(prompt) + NEW_TOKENS}) for i, prompt in enumerate(prompts)]
    torch_engine = TorchEngine(model, sampling=Sampling(temperature=0), length_cap=cap, max_batch=PROMPTS)
    expected = {chain.problem_id: chain.tokens.tolist() for chain in torch_engine.generate(jobs)}
    config = make_config(
        model=folder, tasks=("gsm8k",), grid=((1, cap),), engine="vllm", temperature=0.0, dtype="float32",
        max_batch=PROMPTS, output_dir=Path("out"),
    )  # fmt: skip
    vllm = VllmEngine(config, load_text(folder))
    found = {chain.problem_id: chain.tokens.tolist() for chain in vllm.generate(jobs)}
    vllm.close()
    alike = total = 0
    for problem, tokens in expected.items():
        total += len(tokens)
        pairs = zip(tokens, found[problem], strict=False)
        alike += next((i for i, (ours, theirs) in enumerate(pairs) if ours != theirs), len(tokens))
    record_property("greedy agreement", f"{alike} of {total} tokens")
    assert total > PROMPTS * NEW_TOKENS / 2
    assert alike >= 0.95 * total, f"{alike} of {total}"


def test_accuracies_agree_within_their_intervals(
    swept: dict[str, Path], record_property: Callable[[str, object], None]
) -> None:
    key = ["task", "width", "length"]
    points = [pd.read_parquet(folder / "points.parquet").sort_values(key) for folder in swept.values()]
    assert len(points[0]) == len(points[1]) == 4
    for ours, theirs in zip(rows(points[0]), rows(points[1]), strict=True):
        assert [ours[name] for name in key] == [theirs[name] for name in key]
        assert 0.3 < ours["accuracy"] <= 1
        for engine, point in zip(swept, (ours, theirs), strict=True):
            told = "{accuracy:.3f} ({accuracy_low:.3f} to {accuracy_high:.3f})".format_map(point)
            record_property(f"{engine} W {point['width']} L {point['length']}", told)
        for one, other in ((ours, theirs), (theirs, ours)):
            assert one["accuracy_low"] <= other["accuracy"] <= one["accuracy_high"], (ours, theirs)


def test_the_samples_table_is_the_same_and_says_where_counts_come_from(swept: dict[str, Path]) -> None:
    ours, theirs = (table(folder, "samples") for folder in swept.values())
    assert list(ours.columns) == list(theirs.columns)
    key = ["problem_id", "thread", "prompt_tokens", "length_cap"]
    pd.testing.assert_frame_equal(ours[key], theirs[key])
    assert set(theirs["engine"]) == {"vllm"}
    assert set(theirs["accounting"]) == {"from_lengths"}
    assert (theirs["device_bytes"] > 500_000_000).all()
    for sample in rows(theirs):
        reads = [sample["prompt_tokens"] + g for g in range(1, sample["generated_tokens"] + 1)]
        assert list(sample["step_reads"]) == [read * sample["layers"] * sample["kv_heads"] for read in reads]
    grades = [table(folder, "grades").shape[0] for folder in swept.values()]
    assert grades[0] == grades[1] > 0
    for engine, timing in (("torch", None), ("vllm", "as_run")):
        points = pd.read_parquet(swept[engine] / "points.parquet")
        assert points["timing"].isna().all() if timing is None else (points["timing"] == timing).all()
        # torch's throughput is measured apart: by the latency table, which these sweeps leave out.
        assert (points["throughput"] > 0).all() == (engine == "vllm")
        assert (points["as_run_seconds"] > 0).all()


def test_one_folder_holds_one_engine(swept: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(sweep_tiny(swept["torch"], "--engine", "vllm")) == 2
    assert "engine" in capsys.readouterr().err
    assert run(sweep_tiny(swept["vllm"], "--engine", "vllm", "--dtype", "bfloat16")) == 2
    assert "dtype" in capsys.readouterr().err


def test_a_folder_that_is_complete_needs_no_vllm(swept: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from hyperscale.executors.served import ServedExecutor

    def refuse(*_: object) -> None:
        raise AssertionError("it was loaded")

    monkeypatch.setattr(ServedExecutor, "__init__", refuse)
    assert run(sweep_tiny(swept["vllm"], "--engine", "vllm")) == 0
