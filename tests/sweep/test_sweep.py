from __future__ import annotations

import json
import multiprocessing
import shutil
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from hyperscale.executors.base import ModelIdentity
from hyperscale.plan.resolve import Plan, resolve
from hyperscale.sweep.run import sweep
from tests.fakes import END, FakeExecutor, Silent, fake_config, fake_plan, full_chain, no_spec, run_fake, write_task
from tests.folders import assert_same_results, rows, table

PROMPT = 6
"""Tokens of the prompt of every problem that `write_task` makes."""


@pytest.fixture(autouse=True)
def _fast_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No fsync: these tests end processes in no other way than Python's."""
    monkeypatch.setattr("hyperscale.storage.files._sync", lambda path: None)


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
    assert points.loc[(2, 32), "peak_tokens_sum"] == pytest.approx(2 * np.mean(peaks))
    assert points["complete"].all()
    assert points["problems"].eq(6).all()
    assert points["samples"].to_dict() == {(1, 32): 12, (2, 32): 12, (4, 16): 24}


def test_two_tasks_in_one_sweep_equal_two_sweeps(tmp_path: Path) -> None:
    tasks = [write_task(tmp_path), write_task(tmp_path, name="toy2", problems=3)]
    run_fake(fake_config(tmp_path / "both", tasks[0], tasks=tuple(map(str, tasks))))
    for task in tasks:
        run_fake(fake_config(tmp_path / "single", task))
    assert_same_results(tmp_path / "both", tmp_path / "single")


def test_user_mistakes_are_found_before_the_model_is_loaded(tmp_path: Path) -> None:
    def refuse(config: Plan) -> FakeExecutor:
        raise AssertionError("the model was loaded")

    task = write_task(tmp_path)
    twin = write_task(tmp_path / "copy")
    with pytest.raises(ValueError, match="twice"):
        sweep(fake_plan(tmp_path / "out", task, tasks=(str(task), str(twin))), refuse, Silent())
    (tmp_path / "toy.jsonl").write_text('{"id": "a", "question": "?", "answer": "no number"}\n')
    with pytest.raises(ValueError, match="problem a: gold answer"):
        sweep(fake_plan(tmp_path / "out", task), refuse, Silent())
    with pytest.raises(ValueError, match="p99"):
        sweep(fake_plan(tmp_path / "out", twin, problem_ids=("p99",)), refuse, Silent())


def test_a_prompt_that_fills_its_cap_is_recorded_and_told(tmp_path: Path) -> None:
    task = write_task(tmp_path, problems=2, words=20)  # prompts of 22 tokens
    config = fake_config(tmp_path / "out", task, grid=((2, 16), (1, 40)))
    progress = Silent()
    first = sweep(resolve(config, no_spec), FakeExecutor, progress)
    assert first.generated_samples == 4
    samples = table(tmp_path / "out", "samples")
    empty = samples[samples["thread"] == 1]
    assert empty["generated_tokens"].eq(0).all()
    assert empty["finish_reason"].eq("length").all()
    points = first.points.set_index(["width", "length"])
    assert points.loc[(2, 16), "accuracy"] == 0
    assert points.loc[(2, 16), "truncated_share"] == 1
    [told] = [message for message in progress.messages if "prompt of 22 tokens" in message]
    assert "(and those of 1 other problem)" in told
    assert run_fake(config).generated_samples == 0


def test_reasoning_that_the_chat_template_opened_counts_as_open(tmp_path: Path) -> None:
    class Thinker(FakeExecutor):
        def identity(self) -> ModelIdentity:
            return {**super().identity(), "answer_prefix": "<think>"}

    config = fake_config(tmp_path / "out", write_task(tmp_path))
    report = sweep(resolve(config, no_spec), Thinker, Silent())
    assert report.points["accuracy"].eq(0).all()
    assert table(tmp_path / "out", "grades")["flag"].eq("unclosed_think").all()
    shutil.rmtree(tmp_path / "out" / "grades")
    run_fake(config)
    assert table(tmp_path / "out", "grades")["flag"].eq("unclosed_think").all()


def test_an_error_ends_a_sweep_whose_answers_are_still_being_compared(tmp_path: Path) -> None:
    task = write_task(tmp_path, problems=2)
    task.write_text(task.read_text().replace('"integer"', '"math"'))

    class Failing(FakeExecutor):
        """The threads of a problem say what takes forever to compare; a chain of the next is an error."""

        texts = 0

        def text(self, tokens: Sequence[int]) -> tuple[str, list[int]]:
            self.texts += 1
            if self.texts > 5:
                while not multiprocessing.active_children():
                    time.sleep(0.01)
                raise ValueError("out of luck")
            said = rf"\boxed{{\binom{{{self.texts}00000000}}{{50000000}}}}"
            return said, [len(said)] * len(tokens)

    with pytest.raises(ValueError, match="out of luck"):
        sweep(fake_plan(tmp_path / "out", task, grid=((4, 16),)), Failing, Silent())
    judges = [thread for thread in threading.enumerate() if thread.name.startswith("judge")]
    for thread in judges:
        thread.join(20)
        assert not thread.is_alive(), "Python would wait for it at its end"


def test_a_limit_that_cuts_nothing_is_no_partial_run(tmp_path: Path) -> None:
    task, progress = write_task(tmp_path), Silent()
    report = sweep(fake_plan(tmp_path / "out", task, limit=100), FakeExecutor, progress)
    assert report.points["complete"].all()
    assert not any("PARTIAL" in message for message in progress.messages)
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["partial"] is False
    sweep(fake_plan(tmp_path / "cut", task, limit=5), FakeExecutor, progress)
    assert any("PARTIAL" in message for message in progress.messages)


def test_manifest_says_where_the_numbers_come_from(tmp_path: Path) -> None:
    task = write_task(tmp_path)
    config = fake_config(tmp_path / "out", task, limit=2)
    sweep(resolve(config, no_spec), FakeExecutor, Silent(), ["hyperscale", "sweep", "--limit", "2"])
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
