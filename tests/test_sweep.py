from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hyperscale.config import SweepConfig
from hyperscale.engines.base import Chain, Job
from hyperscale.grid import Run
from hyperscale.progress import Board
from hyperscale.results.store import Store
from hyperscale.resume import set_aside
from hyperscale.sweep import sweep
from tests.fakes import END, FakeEngine, FakeExecutor, fake_config, full_chain, run_fake, write_task

KEY = ["run_id", "task", "problem_id", "thread"]
PROMPT = 6
"""Tokens of the prompt of every problem that `write_task` makes."""


@pytest.fixture(autouse=True)
def _fast_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No fsync: these tests end processes in no other way than Python's."""
    monkeypatch.setattr("hyperscale.results.files._sync", lambda path: None)


def table(folder: Path, name: str) -> pd.DataFrame:
    """Rows of samples or grades that count, in the order of their keys, lists as tuples."""
    with Store(folder) as store:
        frame = store.read(name)
    frame = frame.sort_values([*KEY, *(["length"] if name == "grades" else [])], ignore_index=True)
    lists = [column for column in frame if isinstance(frame[column].iloc[0], np.ndarray)]
    for column in lists:
        frame[column] = frame[column].map(tuple)
    return frame


def rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return frame.to_dict("records")  # type: ignore[return-value]


def keys(log: Path) -> list[tuple[str, str, int]]:
    """Threads in the order in which they were generated."""
    return [tuple(json.loads(line)) for line in log.read_text().splitlines()] if log.exists() else []


def assert_same_results(left: Path, right: Path) -> None:
    for name in ("samples", "grades"):
        pd.testing.assert_frame_equal(table(left, name), table(right, name))
    for name in ("outcomes", "points", "frontiers"):
        order = ["task", "width", "length", *{"outcomes": ["problem_id"], "frontiers": ["axis"]}.get(name, [])]
        one, other = (
            pd.read_parquet(folder / f"{name}.parquet").sort_values(order, ignore_index=True)
            for folder in (left, right)
        )
        pd.testing.assert_frame_equal(one, other)


def test_samples_are_the_chains_cut_at_their_caps(tmp_path: Path) -> None:
    report = run_fake(fake_config(tmp_path / "out", write_task(tmp_path)))
    samples = table(tmp_path / "out", "samples")
    assert report.generated_samples == len(samples) == 6 * 4
    assert report.generated_tokens == samples["generated_tokens"].sum()
    for row in rows(samples):
        cap = 32 if row["thread"] < 2 else 16
        whole = full_chain(0, "toy", row["problem_id"], row["thread"])
        assert row["length_cap"] == cap
        assert list(row["tokens"]) == whole[: cap - PROMPT]
        assert row["finish_reason"] == ("stop" if len(whole) <= cap - PROMPT else "length")
        pieces = ["" if token == END else f"\\boxed{{{token % 3}}} " for token in row["tokens"]]
        assert row["text"] == "".join(pieces)
        assert [row["text"][:end] for end in row["text_ends"]] == ["".join(pieces[: n + 1]) for n in range(len(pieces))]


def test_points_of_width_one_are_plain_means_over_the_pool(tmp_path: Path) -> None:
    points = run_fake(fake_config(tmp_path / "out", write_task(tmp_path))).points.set_index(["width", "length"])
    correct, reads, peaks = [], [], []
    for problem in range(6):
        for thread in range(2):
            tokens = full_chain(0, "toy", f"p{problem}", thread)[: 32 - PROMPT]
            said = [token % 3 for token in tokens if token != END]
            correct.append(said[-1] == 1)
            reads.append(sum(PROMPT + step for step in range(1, len(tokens) + 1)))
            peaks.append(PROMPT + len(tokens))
    assert points.loc[(1, 32), "accuracy"] == pytest.approx(np.mean(correct))
    assert points.loc[(1, 32), "kv_reads"] == pytest.approx(np.mean(reads))
    assert points.loc[(2, 32), "peak_tokens"] == pytest.approx(2 * np.mean(peaks))
    assert points["complete"].all()
    assert points["problems"].eq(6).all()
    assert points["samples"].to_dict() == {(1, 32): 12, (2, 32): 12, (4, 16): 24}


def test_the_same_command_again_generates_nothing_and_loads_no_model(tmp_path: Path) -> None:
    config = fake_config(tmp_path / "out", write_task(tmp_path))
    run_fake(config)
    first = table(tmp_path / "out", "samples")

    def refuse(config: SweepConfig) -> FakeExecutor:
        raise AssertionError("the model was loaded")

    report = sweep(config, refuse, Silent())
    assert report.generated_samples == 0
    assert len(report.points) == 3
    pd.testing.assert_frame_equal(table(tmp_path / "out", "samples"), first)


EXTENSIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "wider": ({"grid": ((1, 32), (2, 32))}, {"grid": ((1, 32), (2, 32), (4, 32), (8, 32))}),
    "longer": ({"grid": ((1, 16), (4, 16))}, {"grid": ((1, 16), (4, 16), (4, 64))}),
    "denser": ({"grid": ((4, 64),)}, {"grid": ((1, 16), (2, 40), (4, 64))}),
    "more problems": ({"limit": 2}, {}),
    "other problems": ({"problem_ids": ("p1", "p4")}, {}),
    "a larger pool": ({}, {"pool": 6}),
    "other execution": ({"limit": 3}, {"max_batch": 7, "memory_budget": 10**9, "device": "cpu"}),
}


@pytest.mark.parametrize("name", sorted(EXTENSIONS))
def test_extending_generates_only_what_is_missing_and_equals_a_fresh_sweep(tmp_path: Path, name: str) -> None:
    before, after = EXTENSIONS[name]
    task = write_task(tmp_path)
    run_fake(fake_config(tmp_path / "grown", task, **before))
    kept = table(tmp_path / "grown", "samples")

    grown = run_fake(fake_config(tmp_path / "grown", task, **after), tmp_path / "log")
    run_fake(fake_config(tmp_path / "fresh", task, **after))

    assert_same_results(tmp_path / "grown", tmp_path / "fresh")
    samples = table(tmp_path / "fresh", "samples")
    caps = {(row["problem_id"], row["thread"]): row["length_cap"] for row in rows(samples)}
    enough = {
        (row["task"], row["problem_id"], row["thread"])
        for row in rows(kept)
        if row["finish_reason"] == "stop" or row["length_cap"] >= caps[row["problem_id"], row["thread"]]
    }
    generated = keys(tmp_path / "log")
    assert len(generated) == len(set(generated)) == grown.generated_samples
    assert set(generated) == set(zip(samples["task"], samples["problem_id"], samples["thread"], strict=True)) - enough


def test_a_longer_grid_keeps_what_ended_and_draws_again_what_was_cut(tmp_path: Path) -> None:
    task = write_task(tmp_path)
    run_fake(fake_config(tmp_path / "out", task, grid=((4, 20),)))
    short = table(tmp_path / "out", "samples")
    report = run_fake(fake_config(tmp_path / "out", task, grid=((4, 64),)))
    assert report.generated_samples == (short["finish_reason"] == "length").sum() > 0
    samples = table(tmp_path / "out", "samples")
    assert samples["length_cap"].eq(64).all()
    stopped = short["finish_reason"] == "stop"
    assert samples.loc[stopped, "tokens"].equals(short.loc[stopped, "tokens"])


def test_a_smaller_grid_generates_nothing_and_has_its_points(tmp_path: Path) -> None:
    task = write_task(tmp_path)
    run_fake(fake_config(tmp_path / "out", task, grid=((8, 64),)))
    report = run_fake(fake_config(tmp_path / "out", task, grid=((1, 24), (3, 48)), limit=4))
    assert report.generated_samples == 0
    assert set(zip(report.points["width"], report.points["length"], strict=True)) == {(1, 24), (3, 48)}
    assert report.points["problems"].eq(4).all()
    assert report.points["samples"].eq(4 * 8).all()
    assert not report.points["complete"].any()


def test_results_of_tasks_that_are_not_named_stay(tmp_path: Path) -> None:
    first, second = write_task(tmp_path), write_task(tmp_path, name="toy2", problems=3)
    run_fake(fake_config(tmp_path / "out", first, grid=((1, 24), (2, 24))))
    alone = pd.read_parquet(tmp_path / "out" / "points.parquet")
    report = run_fake(fake_config(tmp_path / "out", second))
    assert set(report.points["task"]) == {"toy", "toy2"}
    kept = report.points[report.points["task"] == "toy"].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, alone)
    assert set(report.frontiers["task"]) == {"toy", "toy2"}


def test_two_tasks_in_one_sweep_equal_two_sweeps(tmp_path: Path) -> None:
    tasks = [write_task(tmp_path), write_task(tmp_path, name="toy2", problems=3)]
    run_fake(fake_config(tmp_path / "both", tasks[0], tasks=tuple(map(str, tasks))))
    for task in tasks:
        run_fake(fake_config(tmp_path / "single", task))
    assert_same_results(tmp_path / "both", tmp_path / "single")


@pytest.mark.parametrize(
    ("fields", "named"), [({"seed": 1}, "seed"), ({"temperature": 0.0}, "temperature"), ({"model": "x"}, "model")]
)
def test_another_sweep_s_folder_is_refused_with_the_difference(
    tmp_path: Path, fields: dict[str, Any], named: str
) -> None:
    task = write_task(tmp_path)
    run_fake(fake_config(tmp_path / "out", task, limit=1))
    before = table(tmp_path / "out", "samples")
    manifest = (tmp_path / "out" / "manifest.json").read_text()
    with pytest.raises(ValueError, match=named):
        run_fake(fake_config(tmp_path / "out", task, **fields))
    pd.testing.assert_frame_equal(table(tmp_path / "out", "samples"), before)
    assert (tmp_path / "out" / "manifest.json").read_text() == manifest


def test_changed_problems_are_refused(tmp_path: Path) -> None:
    task = write_task(tmp_path)
    run_fake(fake_config(tmp_path / "out", task, limit=1))
    write_task(tmp_path, words=5)
    with pytest.raises(ValueError, match=r"toy\.dataset_revision"):
        run_fake(fake_config(tmp_path / "out", task))


def test_a_changed_prompt_is_refused(tmp_path: Path) -> None:
    task = write_task(tmp_path)
    run_fake(fake_config(tmp_path / "out", task, limit=1))
    task.write_text(task.read_text().replace("Answer:", "Reply:"))
    with pytest.raises(ValueError, match=r"toy\.prompt_sha"):
        run_fake(fake_config(tmp_path / "out", task))


def test_another_model_under_the_same_name_is_refused(tmp_path: Path) -> None:
    class Retrained(FakeExecutor):
        def identity(self) -> dict[str, Any]:
            return {**super().identity(), "weights_sha": "other"}

    task = write_task(tmp_path)
    run_fake(fake_config(tmp_path / "out", task, limit=1))
    with pytest.raises(ValueError, match="weights_sha"):
        sweep(fake_config(tmp_path / "out", task), Retrained, Silent())


def test_user_mistakes_are_found_before_the_model_is_loaded(tmp_path: Path) -> None:
    def refuse(config: SweepConfig) -> FakeExecutor:
        raise AssertionError("the model was loaded")

    task = write_task(tmp_path)
    twin = write_task(tmp_path / "copy")
    with pytest.raises(ValueError, match="twice"):
        sweep(fake_config(tmp_path / "out", task, tasks=(str(task), str(twin))), refuse, Silent())
    (tmp_path / "toy.jsonl").write_text('{"id": "a", "question": "?", "answer": "no number"}\n')
    with pytest.raises(ValueError, match="problem a: gold answer"):
        sweep(fake_config(tmp_path / "out", task), refuse, Silent())
    with pytest.raises(ValueError, match="p99"):
        sweep(fake_config(tmp_path / "out", twin, problem_ids=("p99",)), refuse, Silent())


def test_a_prompt_that_fills_its_cap_is_recorded_and_told(tmp_path: Path) -> None:
    task = write_task(tmp_path, problems=2, words=20)  # prompts of 22 tokens
    config = fake_config(tmp_path / "out", task, grid=((2, 16), (1, 40)))
    progress = Silent()
    first = sweep(config, FakeExecutor, progress)
    assert first.generated_samples == 4
    samples = table(tmp_path / "out", "samples")
    empty = samples[samples["thread"] == 1]
    assert empty["generated_tokens"].eq(0).all()
    assert empty["finish_reason"].eq("length").all()
    points = first.points.set_index(["width", "length"])
    assert points.loc[(2, 16), "accuracy"] == 0
    assert points.loc[(2, 16), "truncated_share"] == 1
    assert sum("prompt of 22 tokens" in message for message in progress.messages) == 2
    assert run_fake(config).generated_samples == 0


def test_lost_grades_are_made_again_without_generating(tmp_path: Path) -> None:
    config = fake_config(tmp_path / "out", write_task(tmp_path))
    run_fake(config)
    grades = table(tmp_path / "out", "grades")
    shutil.rmtree(tmp_path / "out" / "grades")
    assert run_fake(config).generated_samples == 0
    pd.testing.assert_frame_equal(table(tmp_path / "out", "grades"), grades)


def test_reasoning_that_the_chat_template_opened_counts_as_open(tmp_path: Path) -> None:
    class Thinker(FakeExecutor):
        def identity(self) -> dict[str, Any]:
            return {**super().identity(), "answer_prefix": "<think>"}

    config = fake_config(tmp_path / "out", write_task(tmp_path))
    report = sweep(config, Thinker, Silent())
    assert report.points["accuracy"].eq(0).all()
    assert table(tmp_path / "out", "grades")["flag"].eq("unclosed_think").all()
    shutil.rmtree(tmp_path / "out" / "grades")
    run_fake(config)
    assert table(tmp_path / "out", "grades")["flag"].eq("unclosed_think").all()


class Silent:
    """Progress that only remembers what was said."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def start(self, board: Board) -> None:
        pass

    def update(self) -> None:
        pass

    def say(self, message: str) -> None:
        self.messages.append(message)


class Interrupted(FakeExecutor):
    """Sends the process a signal when the eighth chain is being made."""

    number = signal.SIGINT
    times = 1

    def engine(self, run: Run) -> FakeEngine:
        executor = self

        class Engine(FakeEngine):
            def generate(self, jobs: Iterable[Job]) -> Iterator[Chain]:
                for index, chain in enumerate(super().generate(jobs)):
                    if index == 7:
                        for _ in range(executor.times):
                            os.kill(os.getpid(), executor.number)
                    yield chain

        return Engine(self._config.seed, self._log)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_sweep_cleanly_and_the_same_call_completes_it(tmp_path: Path, number: int) -> None:
    task = write_task(tmp_path)
    config = fake_config(tmp_path / "out", task)
    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]

    class Stopped(Interrupted):
        pass

    Stopped.number = signal.Signals(number)
    report = sweep(config, Stopped, Silent())
    assert report.interrupted
    assert report.generated_samples == len(table(tmp_path / "out", "samples")) == 7
    assert report.points["problems"].eq(1).all()
    assert not report.points["complete"].any()
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers

    assert run_fake(config).generated_samples == 24 - 7
    run_fake(fake_config(tmp_path / "fresh", task))
    assert_same_results(tmp_path / "out", tmp_path / "fresh")


def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    class Impatient(FakeExecutor):
        def text(self, tokens: Any) -> tuple[str, list[int]]:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            return super().text(tokens)

    config = fake_config(tmp_path / "out", write_task(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        sweep(config, Impatient, Silent())
    assert run_fake(config).generated_samples == 24


def test_manifest_says_where_the_numbers_come_from(tmp_path: Path) -> None:
    task = write_task(tmp_path)
    config = fake_config(tmp_path / "out", task, limit=2)
    sweep(config, FakeExecutor, Silent(), ["hyperscale", "sweep", "--limit", "2"])
    run_fake(fake_config(tmp_path / "out", task))
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    first, second = manifest["sessions"]
    assert first["command"] == "hyperscale sweep --limit 2"
    assert (first["generated_samples"], second["generated_samples"]) == (8, 16)
    assert first["started"] <= first["finished"] <= second["finished"]
    assert first["wall_seconds"] > 0
    assert first["packages"]["numpy"] == np.__version__
    assert first["hardware"]["memory_bytes"] > 2**20
    assert manifest["identity"]["model"]["weights_sha"] == "fake"
    assert manifest["identity"]["config"]["seed"] == 0
    assert manifest["partial"] is False
    toy = manifest["tasks"]["toy"]
    assert toy["identity"]["dataset_revision"].startswith("sha256:")
    assert (toy["problems"], toy["partial"]) == (6, False)


def test_setting_aside_never_overwrites(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    assert set_aside(folder) is None
    for n in (1, 2):
        folder.mkdir()
        (folder / "mark").write_text(str(n))
        assert set_aside(folder) == tmp_path / f"out.bak-{n}"
    assert [(tmp_path / f"out.bak-{n}" / "mark").read_text() for n in (1, 2)] == ["1", "2"]
    with Store(folder), pytest.raises(ValueError, match=str(os.getpid())):
        set_aside(folder)
