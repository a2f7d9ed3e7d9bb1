from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperscale.executors.base import ModelIdentity
from hyperscale.plan.resolve import Plan, resolve
from hyperscale.results.rows import records
from hyperscale.results.store import Store
from hyperscale.sweep.resume import keep_what_all_have, set_aside
from hyperscale.sweep.run import sweep
from tests.fakes import FakeExecutor, Interrupted, Silent, fake_config, fake_plan, no_spec, run_fake, write_task
from tests.folders import assert_same_results, keys, rows, table


@pytest.fixture(autouse=True)
def _fast_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No fsync: these tests end processes in no other way than Python's."""
    monkeypatch.setattr("hyperscale.storage.files._sync", lambda path: None)


def test_the_same_command_again_generates_nothing_and_loads_no_model(tmp_path: Path) -> None:
    config = fake_config(tmp_path / "out", write_task(tmp_path))
    run_fake(config)
    first = table(tmp_path / "out", "samples")

    def refuse(config: Plan) -> FakeExecutor:
        raise AssertionError("the model was loaded")

    report = sweep(resolve(config, no_spec), refuse, Silent())
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


def test_a_start_that_failed_ties_the_folder_to_nothing(tmp_path: Path) -> None:
    def fail(config: Plan) -> FakeExecutor:
        raise ValueError("no such model")

    task = write_task(tmp_path)
    with pytest.raises(ValueError, match="no such model"):
        sweep(fake_plan(tmp_path / "out", task, model="typo"), fail, Silent())
    assert run_fake(fake_config(tmp_path / "out", task)).generated_samples == 24


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


@pytest.mark.parametrize(("old", "new"), [('"integer"', '"number"'), ('answer = "answer"', 'answer = "id"')])
def test_grades_by_another_rule_are_refused_not_mixed(tmp_path: Path, old: str, new: str) -> None:
    task = write_task(tmp_path)
    run_fake(fake_config(tmp_path / "out", task, limit=1))
    task.write_text(task.read_text().replace(old, new))
    with pytest.raises(ValueError, match=r"toy\.(grader|columns)|gold answer"):
        run_fake(fake_config(tmp_path / "out", task))


def test_another_model_under_the_same_name_is_refused(tmp_path: Path) -> None:
    class Retrained(FakeExecutor):
        def identity(self) -> ModelIdentity:
            return {**super().identity(), "weights_sha": "other"}

    task = write_task(tmp_path)
    run_fake(fake_config(tmp_path / "out", task, limit=1))
    manifest = (tmp_path / "out" / "manifest.json").read_text()
    with pytest.raises(ValueError, match="weights_sha"):
        sweep(fake_plan(tmp_path / "out", task), Retrained, Silent())
    assert (tmp_path / "out" / "manifest.json").read_text() == manifest, "a refused sweep leaves no trace"


def test_a_hub_model_is_loaded_again_at_the_commit_that_its_samples_come_from(tmp_path: Path) -> None:
    main = "a" * 40

    class Hub(FakeExecutor):
        def identity(self) -> ModelIdentity:
            return {**super().identity(), "resolved_revision": self._config.revision or main}

    task = write_task(tmp_path)
    sweep(fake_plan(tmp_path / "out", task, limit=1), Hub, Silent())
    main = "b" * 40
    assert sweep(fake_plan(tmp_path / "out", task), Hub, Silent()).generated_samples == 20
    sweep(fake_plan(tmp_path / "new", task), Hub, Silent())
    revisions = [
        json.loads((tmp_path / name / "manifest.json").read_text())["identity"]["model"]["resolved_revision"]
        for name in ("out", "new")
    ]
    assert revisions == ["a" * 40, "b" * 40]


def test_samples_that_nothing_tells_the_origin_of_are_refused(tmp_path: Path) -> None:
    config = fake_config(tmp_path / "out", write_task(tmp_path))
    run_fake(config)
    (tmp_path / "out" / "manifest.json").unlink()
    with pytest.raises(ValueError, match=r"no manifest\.json"):
        run_fake(config)


def test_outcomes_whose_samples_are_gone_are_dropped(tmp_path: Path) -> None:
    first, second = write_task(tmp_path), write_task(tmp_path, name="toy2", problems=3)
    run_fake(fake_config(tmp_path / "out", first))
    shutil.rmtree(tmp_path / "out" / "samples")
    assert set(run_fake(fake_config(tmp_path / "out", second)).points["task"]) == {"toy2"}


def test_outcomes_of_another_run_keep_the_pools_of_their_lengths(tmp_path: Path) -> None:
    task = write_task(tmp_path)
    run_fake(fake_config(tmp_path / "out", task, grid=((2, 24),)))
    path = tmp_path / "out" / "outcomes.parquet"
    # What a sweep of another backend leaves: rows that this one does not name, and samples to them.
    with Store(tmp_path / "out") as store:
        others = [{**row, "run_id": "other", "backend": "other"} for row in records(store.read("samples"))]
        store.append("samples", others)
        store.write_table("outcomes", pd.read_parquet(path).assign(backend="other"))
    report = run_fake(fake_config(tmp_path / "out", task, grid=((4, 16),)))
    points = report.points.set_index("backend")
    assert points["length"].to_dict() == {"other": 24, "vanilla": 16}
    assert points["complete"].all()


def test_a_damaged_table_is_told(tmp_path: Path) -> None:
    config = fake_config(tmp_path / "out", write_task(tmp_path), limit=1)
    run_fake(config)
    (tmp_path / "out" / "outcomes.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(ValueError, match=r"outcomes\.parquet is damaged"):
        run_fake(config)


def test_lost_grades_are_made_again_without_generating(tmp_path: Path) -> None:
    config = fake_config(tmp_path / "out", write_task(tmp_path))
    run_fake(config)
    grades = table(tmp_path / "out", "grades")
    shutil.rmtree(tmp_path / "out" / "grades")
    assert run_fake(config).generated_samples == 0
    pd.testing.assert_frame_equal(table(tmp_path / "out", "grades"), grades)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_sweep_cleanly_and_the_same_call_completes_it(tmp_path: Path, number: int) -> None:
    task = write_task(tmp_path)
    config = fake_config(tmp_path / "out", task)
    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]

    class Stopped(Interrupted):
        pass

    Stopped.number = signal.Signals(number)
    report = sweep(resolve(config, no_spec), Stopped, Silent())
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
        sweep(resolve(config, no_spec), Impatient, Silent())
    assert run_fake(config).generated_samples == 24


def test_setting_aside_never_overwrites(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    assert set_aside(folder) is None
    for n in (1, 2):
        (folder / "samples").mkdir(parents=True)
        (folder / "mark").write_text(str(n))
        assert set_aside(folder) == tmp_path / f"out.bak-{n}"
    assert [(tmp_path / f"out.bak-{n}" / "mark").read_text() for n in (1, 2)] == ["1", "2"]
    with Store(folder), pytest.raises(ValueError, match=str(os.getpid())):
        set_aside(folder)


def test_setting_aside_takes_no_folder_of_other_things_and_any_damaged_results(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    assert set_aside(other) is None
    (other / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match="neither manifest"):
        set_aside(other)
    assert [path.name for path in other.iterdir()] == ["thesis.tex"]
    (other / "manifest.json").write_text("{")
    assert set_aside(other) == tmp_path / "other.bak-1"


def test_force_in_the_folder_itself_begins_a_new_one_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = write_task(tmp_path)
    run_fake(fake_config(tmp_path / "out", task, limit=1))
    monkeypatch.chdir(tmp_path / "out")
    report = sweep(fake_plan(Path(), task, limit=2), FakeExecutor, Silent(), force=True)
    assert report.generated_samples == 8
    assert len(table(tmp_path / "out", "samples")) == 8
    assert len(table(tmp_path / "out.bak-1", "samples")) == 4


def test_force_moves_nothing_before_the_problems_are_found(tmp_path: Path) -> None:
    task = write_task(tmp_path)
    run_fake(fake_config(tmp_path / "out", task, limit=1))
    with pytest.raises(ValueError, match="p99"):
        sweep(fake_plan(tmp_path / "out", task, problem_ids=("p99",)), FakeExecutor, Silent(), force=True)
    assert len(table(tmp_path / "out", "samples")) == 4
    assert not (tmp_path / "out.bak-1").exists()


@pytest.mark.parametrize("wider", [{"grid": ((8, 24),)}, {"grid": ((4, 64),)}, {"grid": ((8, 64),)}])
def test_what_an_interrupted_extension_left_does_not_bias_a_narrower_sweep(
    tmp_path: Path, wider: dict[str, Any]
) -> None:
    task = write_task(tmp_path)
    grid = {"grid": ((1, 24), (2, 16))}
    run_fake(fake_config(tmp_path / "out", task, **grid))
    assert sweep(fake_plan(tmp_path / "out", task, **wider), Interrupted, Silent()).interrupted
    narrowed = run_fake(fake_config(tmp_path / "out", task, **grid), tmp_path / "log")
    assert not keys(tmp_path / "log")
    fresh = run_fake(fake_config(tmp_path / "fresh", task, **grid))
    pd.testing.assert_frame_equal(narrowed.points, fresh.points)
    left, right = (pd.read_parquet(tmp_path / name / "outcomes.parquet") for name in ("out", "fresh"))
    pd.testing.assert_frame_equal(left, right)


@given(
    st.lists(st.dictionaries(st.integers(0, 3), st.integers(1, 4), min_size=1), min_size=1, max_size=4),
    st.lists(st.integers(1, 4), max_size=4).map(lambda caps: sorted(caps, reverse=True)),
)
def test_beyond_the_plan_a_thread_counts_where_all_problems_have_it(
    held: list[dict[int, int]], planned: list[int]
) -> None:
    problems = [[{"thread": thread, "length_cap": cap} for thread, cap in caps.items()] for caps in held]
    keep_what_all_have(problems, planned)
    for caps, kept in zip(held, problems, strict=True):
        found = {(row["thread"], length) for row in kept for length in range(1, row["length_cap"] + 1)}
        assert found == {
            (thread, length)
            for thread, cap in caps.items()
            for length in range(1, cap + 1)
            if (thread < len(planned) and length <= planned[thread])
            or all(other.get(thread, 0) >= length for other in held)
        }
