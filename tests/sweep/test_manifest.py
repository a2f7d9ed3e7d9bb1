"""What ties a results folder to an experiment, and what does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hyperscale.plan.resolve import Plan, resolve
from hyperscale.plan.runs import Run
from hyperscale.sweep.manifest import Manifest, describe_task, opened
from hyperscale.sweep.run import sweep
from hyperscale.tasks.load import load_problems, load_task
from hyperscale.tasks.task import Problem
from tests.fakes import FakeEngine, FakeExecutor, Silent, fake_config, fake_plan, no_spec, run_fake, write_task
from tests.test_config import make

TASK: Any = {"identity": {"prompt_sha": "a"}, "pools": {"64": 2}, "partial": False}
SESSION: Any = {}
CHANGED: Any = {**TASK, "identity": {"prompt_sha": "b"}}
SINKS = (("tova", "sink_tokens", 2),)


@pytest.fixture(autouse=True)
def _fast_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hyperscale.storage.files._sync", lambda path: None)


def plan(*backends: str, options: tuple[tuple[str, str, int], ...] = (), seed: int = 0) -> Plan:
    config = make(backends=backends, compression_ratios=(2,), backend_options=options, seed=seed)
    return resolve(config, no_spec)


def first(*tasks: str) -> Manifest:
    """Manifest of a sweep of vanilla and TOVA with 2 sinks."""
    return opened(None, plan("vanilla", "tova", options=SINKS), dict.fromkeys(tasks, TASK), SESSION, ())


def test_a_setting_that_no_sample_was_drawn_with_can_be_corrected() -> None:
    corrected = plan("vanilla", "tova")
    manifest = opened(first("toy"), corrected, {"toy": TASK}, SESSION, {("toy", "vanilla")})
    assert manifest["backends"] == {"vanilla": {}, "tova": {}}
    with pytest.raises(ValueError, match=r"backends\.tova\.sink_tokens: 2 -> \(absent\)"):
        opened(first("toy"), corrected, {"toy": TASK}, SESSION, {("toy", "vanilla"), ("toy", "tova")})


def test_a_task_that_has_no_sample_can_be_corrected() -> None:
    tasks = {"toy": TASK, "toy2": CHANGED}
    both = plan("vanilla", "tova", options=SINKS)
    assert opened(first("toy", "toy2"), both, tasks, SESSION, {("toy", "vanilla")})["tasks"] == tasks
    with pytest.raises(ValueError, match=r'tasks\.toy2\.prompt_sha: "a" -> "b"'):
        opened(first("toy", "toy2"), both, tasks, SESSION, {("toy", "vanilla"), ("toy2", "vanilla")})


def test_what_has_samples_is_kept_and_what_has_none_is_forgotten() -> None:
    manifest = opened(first("toy", "toy2"), plan("h2o"), {"toy3": TASK}, SESSION, {("toy2", "tova")})
    assert manifest["tasks"].keys() == {"toy2", "toy3"}
    assert manifest["backends"] == {"tova": {"sink_tokens": 2}, "h2o": {}}
    assert len(manifest["sessions"]) == 2


@pytest.mark.parametrize("name", ["tova", "vanilla", "config", "tasks", "backends", "model"])
def test_a_task_s_name_hides_no_difference(name: str) -> None:
    same = plan("vanilla", "tova", options=SINKS)
    sampled = {(name, "vanilla"), (name, "tova")}
    opened(first(name), same, {name: TASK}, SESSION, sampled)
    with pytest.raises(ValueError, match=rf"tasks\.{name}\.prompt_sha"):
        opened(first(name), same, {name: CHANGED}, SESSION, sampled)
    with pytest.raises(ValueError, match=r"backends\.tova\.sink_tokens"):
        opened(first(name), plan("vanilla", "tova"), {name: TASK}, SESSION, sampled)
    seeded = plan("vanilla", "tova", options=SINKS, seed=1)
    with pytest.raises(ValueError, match=r"config\.seed: 0 -> 1"):
        opened(first(name), seeded, {name: TASK}, SESSION, sampled)


def test_the_prompt_of_a_task_named_like_a_backend_is_checked(tmp_path: Path) -> None:
    task = write_task(tmp_path, name="tova")
    fields: dict[str, Any] = {"backends": ("vanilla", "tova"), "compression_ratios": (2,), "limit": 1}
    run_fake(fake_config(tmp_path / "out", task, **fields))
    task.write_text(task.read_text().replace("Answer:", "Reply:"))
    with pytest.raises(ValueError, match=r"tasks\.tova\.prompt_sha"):
        run_fake(fake_config(tmp_path / "out", task, **fields))


def test_a_generator_is_part_of_its_task_s_identity_and_of_no_other_s() -> None:
    generated, own = (
        describe_task(task, load_problems(task, limit=1), ())["identity"]
        for task in map(load_task, ("trace", "arithmetic"))
    )
    assert generated["generator"] == "trace"
    assert str(generated["dataset_revision"]).startswith("sha256:")
    assert "generator" not in own, "older folders keep theirs"


class Refusing(FakeExecutor):
    """Takes no sinks: what only the loaded model shows."""

    def engine(self, run: Run) -> FakeEngine:
        if run.options:
            raise ValueError(f"{run.backend}: no room for {dict(run.options)}")
        return super().engine(run)


def test_a_setting_that_cannot_work_does_not_lock_the_folder(tmp_path: Path) -> None:
    task = write_task(tmp_path, problems=2)
    fields: dict[str, Any] = {"backends": ("vanilla", "tova"), "compression_ratios": (2,)}
    with pytest.raises(ValueError, match="no room for"):
        sweep(fake_plan(tmp_path / "out", task, **fields, backend_options=SINKS), Refusing, Silent())
    report = sweep(fake_plan(tmp_path / "out", task, **fields), Refusing, Silent())
    assert set(report.points["backend"]) == {"vanilla", "tova"}
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["backends"] == {"vanilla": {}, "tova": {}}
    with pytest.raises(ValueError, match=r"backends\.tova\.sink_tokens"):
        sweep(fake_plan(tmp_path / "out", task, **fields, backend_options=SINKS), Refusing, Silent())


def test_a_task_that_came_to_no_sample_does_not_lock_the_folder(tmp_path: Path) -> None:
    class Refusing(FakeExecutor):
        def prompt_tokens(self, problem: Problem) -> tuple[int, ...]:
            if problem.prompt.startswith("Reply"):
                raise ValueError("no such prompt")
            return super().prompt_tokens(problem)

    first, second = write_task(tmp_path, problems=2), write_task(tmp_path, problems=2, name="toy2")
    run_fake(fake_config(tmp_path / "out", first))
    right = second.read_text()
    second.write_text(right.replace("Answer", "Reply"))
    with pytest.raises(ValueError, match="no such prompt"):
        sweep(fake_plan(tmp_path / "out", second), Refusing, Silent())
    second.write_text(right)
    assert set(sweep(fake_plan(tmp_path / "out", second), Refusing, Silent()).points["task"]) == {"toy", "toy2"}
