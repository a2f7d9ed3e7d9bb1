"""Training on the model's own samples: what is drawn, when, and that a killed run draws nothing twice."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from hyperscale.cli.main import run as command
from hyperscale.config import Sampling
from hyperscale.engines.base import Job
from hyperscale.engines.torch.engine import TorchEngine
from hyperscale.model.chat import encode_prompt
from hyperscale.model.load import load_model
from hyperscale.process.interrupt import Interrupt
from hyperscale.retrofit.batches import Batch
from hyperscale.retrofit.config import RetrofitConfig, make_retrofit
from hyperscale.retrofit.parallel import World
from hyperscale.retrofit.progress import Progress
from hyperscale.retrofit.run import Report, retrofit
from hyperscale.retrofit.samples import COLUMNS, TASK, OwnSamples, row_keys, text_batches
from tests.processes import PROCESSES
from tests.retrofit.runs import live
from tests.tiny_models import write_tiny_model

PROMPTS = ("a tree", "sum 7", "the", "12 is", "then add", "they", "of 12")
CONTEXT = 48


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prompts, and a model that ends one answer in two by itself."""
    folder = tmp_path_factory.mktemp("model")
    write_tiny_model(folder / "model", "qwen3", eos_token_id=[2, *range(40, 48)])
    # The blank line: messages count lines, prompts do not.
    (folder / "prompts.jsonl").write_text("\n".join(["", *(json.dumps({"text": text}) for text in PROMPTS)]))
    return folder


def fields(folder: Path, out: Path, **more: Any) -> dict[str, Any]:
    """A run of 6 steps of 2 rows, which seven prompts do not fill."""
    return {
        "model": str(folder / "model"), "data": str(folder / "prompts.jsonl"), "data_from_model": True,
        "context": CONTEXT, "batch_size": 2, "window": 4, "scale": 10.0, "target_cr": 3.0, "save_crs": (2.0,),
        "steps_per_cr": 3, "lr": 1e-2, "seed": 5, "save_minutes": 0, "output_dir": str(out), **more,
    }  # fmt: skip


def config(folder: Path, out: Path, **more: Any) -> RetrofitConfig:
    return make_retrofit(**fields(folder, out, **more))


def run(folder: Path, out: Path, progress: Progress | None = None, **more: Any) -> Report:
    return retrofit(config(folder, out, **more), progress or Progress(None))


def samples(out: Path) -> pd.DataFrame:
    frame = pd.read_parquet(out / "samples").sort_values(["thread", "prompt"], ignore_index=True)
    return frame.assign(tokens=frame["tokens"].map(list))


def untimed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


class Counting(Progress):
    """Notes what it is told of sampling."""

    def __init__(self) -> None:
        super().__init__(None)
        self.told: list[int] = []

    def sampling(self, done: int, rows: int) -> None:
        assert done <= rows
        self.told.append(done)


@pytest.fixture(scope="module")
def finished(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    out = tmp_path_factory.mktemp("finished") / "out"
    return out, run(folder, out)


def drawn(folder: Path, out: Path, **more: Any) -> OwnSamples:
    """The samples of a run that has some left to draw, or none."""
    settings = config(folder, out, **more)
    model = load_model(settings.model, dtype="float32")
    batches = text_batches(settings)(model.tokenizer)
    assert isinstance(batches, OwnSamples)
    out.mkdir(exist_ok=True)
    with Interrupt() as interrupt:
        assert batches.draw(model, World(), Progress(None), interrupt)
    return batches


def test_samples_are_what_the_engine_draws_of_each_prompt_alone(folder: Path, finished: tuple[Path, Report]) -> None:
    frame = samples(finished[0])
    assert list(frame) == [column.name for column in COLUMNS]
    model = load_model(str(folder / "model"), dtype="float32")
    sampling = Sampling(temperature=1.0, top_p=1.0, seed=5)
    engine = TorchEngine(model, sampling=sampling, length_cap=CONTEXT, max_batch=1)
    for row in frame.to_dict("records"):
        prompt = encode_prompt(model.tokenizer, PROMPTS[row["prompt"]])
        assert row["prompt_tokens"] == len(prompt)
        [chain] = engine.generate([Job(TASK, str(row["prompt"]), tuple(prompt), {row["thread"]: CONTEXT})])
        assert row["tokens"] == [*prompt, *chain.tokens]
        assert row["finish_reason"] == chain.finish_reason
    stopped = frame[frame["finish_reason"] == "stop"]
    assert stopped["tokens"].map(lambda tokens: tokens[-1] in model.eos_ids).all()
    assert frame[frame["finish_reason"] == "length"]["tokens"].map(len).eq(CONTEXT).all()
    assert 0 < len(stopped) < len(frame)


def test_every_prompt_is_answered_before_one_is_answered_again() -> None:
    keys = row_keys(7, 12, seed=5)
    assert sorted(keys[:7]) == [(prompt, 0) for prompt in range(7)]
    assert {key.thread for key in keys[7:]} == {1}
    assert len(set(keys)) == 12
    assert row_keys(7, 30, seed=5)[:12] == keys
    assert row_keys(7, 7, seed=6) != keys[:7]


def test_a_batch_is_a_function_of_its_step(folder: Path, finished: tuple[Path, Report], tmp_path: Path) -> None:
    """Whether the run is longer, and whatever was drawn beside."""
    one, longer = drawn(folder, finished[0]), drawn(folder, tmp_path / "longer", target_cr=4.0)
    by_key = samples(finished[0]).set_index(["prompt", "thread"])["tokens"]
    for step in (6, 1, 3):
        batch, other = one.batch(step), longer.batch(step)
        assert all(left.equal(right) for left, right in zip(batch, other, strict=True))
        for row, key in enumerate(row_keys(7, 12, seed=5)[2 * (step - 1) : 2 * step]):
            assert_row(batch, row, by_key[key])


def assert_row(batch: Batch, row: int, tokens: list[int]) -> None:
    present = batch.document_bt[row] >= 0
    assert batch.tokens_bt[row][present].tolist() == tokens
    assert batch.counted_bt[row].nonzero().flatten().tolist() == list(range(len(tokens) - 1))


def test_a_run_killed_again_and_again_draws_nothing_twice(
    folder: Path, finished: tuple[Path, Report], tmp_path: Path
) -> None:
    """kill -9 while it draws, between drawing and training, and while it trains: samples, log, weights are equal."""
    out, counting = tmp_path / "out", Counting()
    first, second, third = (told_until(fields(folder, out), last) for last in (3, 12, 14))
    assert first == [0, 1, 2, 3]
    assert second[0] >= 3, "a sample that was told of was drawn again"
    assert third[0] > 12
    ended = run(folder, out, counting)
    assert counting.told == []
    pd.testing.assert_frame_equal(samples(out), samples(finished[0]))
    assert untimed(ended.rows) == untimed(finished[1].rows)
    for name in ("cr-2", "cr-3"):
        weights = [(path / name / "model.safetensors").read_bytes() for path in (out, finished[0])]
        assert weights[0] == weights[1]


def told_until(settings: dict[str, Any], last: int) -> list[int]:
    """What a process told before it was killed at `last`: samples that it had, then 12 and the steps taken."""
    here, there = PROCESSES.Pipe(duplex=False)
    child = PROCESSES.Process(target=live, args=(settings, there))
    child.start()
    there.close()
    told: list[int] = []
    try:
        while not told or told[-1] < last:
            entry = here.recv()
            told.append(12 + entry if isinstance(entry, int) else int(entry.split("/")[0]))
    finally:
        child.kill()
        child.join(60)
        here.close()
    return told


def test_a_run_that_goes_on_further_draws_what_it_lacks(
    folder: Path, finished: tuple[Path, Report], tmp_path: Path
) -> None:
    out, counting = tmp_path / "out", Counting()
    run(folder, out, target_cr=2.0, save_crs=())
    assert len(samples(out)) == 6
    extended = run(folder, out, counting)
    assert counting.told == [6, 7, 8, 9, 10, 11, 12]
    pd.testing.assert_frame_equal(samples(out), samples(finished[0]))
    assert untimed(extended.rows) == untimed(finished[1].rows)
    again = Counting()
    run(folder, out, again)
    assert again.told == []


def test_a_signal_while_it_draws_keeps_what_was_drawn(folder: Path, tmp_path: Path) -> None:
    class Breaking(Counting):
        def sampling(self, done: int, rows: int) -> None:
            super().sampling(done, rows)
            if done == 4:
                import os
                import signal

                os.kill(os.getpid(), signal.SIGINT)

    out, counting = tmp_path / "out", Counting()
    report = run(folder, out, Breaking(), save_minutes=5)
    assert report.interrupted
    assert (report.rows, report.checkpoints) == ([], [])
    assert len(samples(out)) == 4
    assert not run(folder, out, counting, save_minutes=5).interrupted
    assert counting.told[0] == 4
    assert len(list((out / "samples").iterdir())) == 2, "a part for each session: none was killed"


def test_the_command_line_says_how_far_it_is(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = fields(folder, tmp_path / "out", target_cr=1.4, sample_temperature=0.5, save_crs="2")
    flags = [text for name, value in given.items() for text in (f"--{name.replace('_', '-')}", str(value))]
    flags.remove("True")
    assert command(["retrofit", *flags]) == 0
    assert "sampling: 2/2 rows" in capsys.readouterr().err
    identity = json.loads((tmp_path / "out" / "run.json").read_text())["identity"]
    assert identity["config"]["sample_temperature"] == 0.5
    assert identity["data"].startswith("the model's answers to prompts.jsonl, sha256 ")
    with pytest.raises(ValueError, match=r"sample_temperature: 0.5 -> 1.0"):
        run(folder, tmp_path / "out", target_cr=1.4, save_crs=())
    with pytest.raises(ValueError, match=r"(?s)data_from_model: true -> \(absent\)"):
        run(folder, tmp_path / "out", target_cr=1.4, save_crs=(), data_from_model=False, context=8)


def test_progress_estimates_what_is_left() -> None:
    console, now = Console(file=StringIO(), width=120), iter([0.0, 0.0, 60.0, 60.0, 60.0])
    progress = Progress(console, clock=lambda: next(now, 90.0))
    progress.sampling(10, 40)
    progress.sampling(20, 40)
    progress.sampling(40, 40)
    assert isinstance(console.file, StringIO)
    assert console.file.getvalue().splitlines() == [
        "sampling: 10/40 rows",
        "sampling: 20/40 rows, about 2 min left",
        "sampling: 40/40 rows",
    ]


@pytest.mark.parametrize(
    ("more", "match"),
    [
        ({"data_from_model": False, "sample_temperature": 0.7}, "--sample-temperature .* needs --data-from-model"),
        ({"sample_temperature": 0}, "--sample-temperature 0: must be above 0"),
        ({"data": None}, "--data-from-model answers prompts: give them as --data"),
        ({"text_field": "question"}, "line 2: no text in field 'question'"),
        ({"context": 25}, "prompts.jsonl, line 2: a prompt of 25 tokens leaves no room for an answer"),
    ],
    ids=str,
)
def test_mistakes(folder: Path, tmp_path: Path, more: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        run(folder, tmp_path / "out", **more)
    assert not (tmp_path / "out" / "run.json").exists(), "a run that cannot be must not hold the folder"


def test_several_processes_read_samples_but_draw_none(
    folder: Path, finished: tuple[Path, Report], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert drawn(folder, finished[0]).batch(1).tokens
    with pytest.raises(ValueError, match="12 samples are still to be drawn, which one process does: begin without"):
        drawn(folder, tmp_path / "out")
    assert not (tmp_path / "out" / "samples").exists()
