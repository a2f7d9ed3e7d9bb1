"""Parts that are not what was written: one byte is enough. Found, set aside, told, and their rows made anew."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pandas as pd
import pytest

from hyperscale.plan.resolve import resolve
from hyperscale.results.store import Store
from hyperscale.sweep.run import sweep
from tests.extent import extent
from tests.fakes import FakeExecutor, Silent, fake_config, fake_plan, no_spec, run_fake, write_task
from tests.faults.command import executor, swept
from tests.folders import assert_same_results, keys, table

pytestmark = pytest.mark.usefixtures("fast_disk")

BYTES, CUTS = extent(60, 300), extent(12, 60)


def changed(content: bytes, rng: random.Random) -> bytes:
    """One byte is another."""
    place, mask = rng.randrange(len(content)), rng.randrange(1, 256)
    return content[:place] + bytes([content[place] ^ mask]) + content[place + 1 :]


def part_of(folder: Path, name: str) -> Path:
    [part] = folder.glob(f"{name}/*.parquet")
    return part


@pytest.mark.parametrize("name", ["samples", "grades"])
def test_every_changed_byte_and_every_cut_is_found(tmp_path: Path, name: str) -> None:
    folder, rng = tmp_path / "out", random.Random(4)
    run_fake(fake_config(folder, write_task(tmp_path)))
    part = part_of(folder, name)
    whole = part.read_bytes()
    ends = [whole[:-1] + bytes([whole[-1] ^ 1]), bytes([whole[0] ^ 1]) + whole[1:], whole + b"\0", b""]
    for damaged in [
        *ends,
        *(changed(whole, rng) for _ in range(BYTES)),
        *(whole[: rng.randrange(len(whole))] for _ in range(CUTS)),
    ]:
        part.write_bytes(damaged)
        with pytest.raises(ValueError, match=rf"{part.name} is damaged .*: restore it, or delete it") as caught:
            Store(folder)
        assert "\n" not in str(caught.value)
        with Store(folder, tolerant=True) as store:
            assert store.damaged == [part]
    part.write_bytes(whole)
    Store(folder).close()


@pytest.mark.parametrize("name", ["samples", "grades"])
def test_a_sweep_sets_a_damaged_part_aside_and_makes_its_rows_anew(tmp_path: Path, name: str) -> None:
    folder, log, task = tmp_path / "out", tmp_path / "log", write_task(tmp_path)
    assert swept(folder, task).code == 0
    shutil.copytree(folder, tmp_path / "before")
    part = part_of(folder, name)
    damaged = changed(part.read_bytes(), random.Random(1))
    part.write_bytes(damaged)
    ended = swept(folder, task, executor(log))
    assert ended.code == 0
    [line] = [line for line in ended.told if "was damaged" in line]
    assert line.startswith(f"{part} was damaged: moved to damaged/")
    assert (folder / "damaged" / f"{name}-{part.name}").read_bytes() == damaged
    assert len(keys(log)) == (6 * 2 if name == "samples" else 0)
    assert_same_results(folder, tmp_path / "before")
    assert len(pd.read_parquet(folder / name)) == len(table(folder, name)), "read plainly the folder is right"
    assert not any("was damaged" in line for line in swept(folder, task).told)


def test_of_many_parts_only_the_damaged_ones_are_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, log, rng = tmp_path / "out", tmp_path / "log", random.Random(2)
    config = fake_config(folder, write_task(tmp_path))
    monkeypatch.setattr("hyperscale.results.parts._MERGED_BYTES", 1)
    run_fake(config)
    shutil.copytree(folder, tmp_path / "before")
    lost = rng.sample(sorted(folder.glob("samples/*.parquet")), 5)
    for part in [*lost, *rng.sample(sorted(folder.glob("grades/*.parquet")), 2)]:
        part.write_bytes(changed(part.read_bytes(), rng))
    assert run_fake(config, log).generated_samples == len(keys(log)) == len(lost)
    assert_same_results(folder, tmp_path / "before")


def test_what_is_drawn_otherwise_the_second_time_is_graded_by_what_it_says(tmp_path: Path) -> None:
    """A sample that was lost need not come back as it was: another batch may round otherwise."""

    class Otherwise(FakeExecutor):
        def engine(self, run):
            engine = super().engine(run)
            engine._seed += 1
            return engine

    folder = tmp_path / "out"
    config = fake_config(folder, write_task(tmp_path))
    run_fake(config)
    sweep(fake_plan(tmp_path / "other", tmp_path / "toy.toml"), Otherwise, Silent())
    part = part_of(folder, "samples")
    part.write_bytes(part.read_bytes()[:-100])
    sweep(resolve(config, no_spec), Otherwise, Silent())
    assert_same_results(folder, tmp_path / "other")


def test_outcomes_of_lost_samples_do_not_outlive_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep of something else does not make the lost rows anew: what hung on them goes, the rest stays."""
    monkeypatch.setattr("hyperscale.results.parts._MERGED_BYTES", 1)
    first, second = write_task(tmp_path), write_task(tmp_path, name="toy2", problems=3)
    folder = tmp_path / "out"
    run_fake(fake_config(folder, first))
    part = sorted(folder.glob("samples/*.parquet"))[0]
    [problem] = pd.read_parquet(part)["problem_id"]
    before = pd.read_parquet(folder / "outcomes.parquet")
    part.write_bytes(part.read_bytes()[:-1])
    progress = Silent()
    report = sweep(fake_plan(folder, second), FakeExecutor, progress)
    assert any(f"{part} was damaged" in line for line in progress.messages)
    outcomes = pd.read_parquet(folder / "outcomes.parquet").query("task == 'toy'")
    assert (outcomes["problem_id"] != problem).sum() == (before["problem_id"] != problem).sum()
    with Store(folder) as store:
        samples = store.read("samples", ["task", "problem_id", "length_cap"])
    caps = samples.loc[(samples["task"] == "toy") & (samples["problem_id"] == problem), "length_cap"]
    kept = outcomes[outcomes["problem_id"] == problem]
    assert len(kept) < (before["problem_id"] == problem).sum()
    assert all((caps >= row["length"]).sum() >= row["pool"] for row in kept.to_dict("records"))
    assert not report.points.query("task == 'toy'")["complete"].all()
    run_fake(fake_config(folder, first))
    run_fake(fake_config(tmp_path / "fresh", first))
    run_fake(fake_config(tmp_path / "fresh", second))
    assert_same_results(folder, tmp_path / "fresh")


def test_another_sweep_does_not_take_over_a_folder_whose_samples_are_damaged(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    config = fake_config(folder, write_task(tmp_path))
    run_fake(config)
    part = part_of(folder, "samples")
    part.write_bytes(b"")
    with pytest.raises(ValueError, match="seed: 0 -> 1"):
        run_fake(config.model_copy(update={"seed": 1}))
    assert part.exists(), "a refused sweep leaves the folder as it was"
    (folder / "manifest.json").unlink()
    with pytest.raises(ValueError, match=r"no manifest\.json"):
        run_fake(config)


def test_a_damaged_table_is_told(tmp_path: Path) -> None:
    folder, rng = tmp_path / "out", random.Random(3)
    config = fake_config(folder, write_task(tmp_path), limit=1)
    run_fake(config)
    path = folder / "outcomes.parquet"
    whole = path.read_bytes()
    for _ in range(20):
        path.write_bytes(whole[: rng.randrange(len(whole))])
        with pytest.raises(ValueError, match=r"outcomes\.parquet is damaged"):
            run_fake(config)
    path.write_bytes(whole)
    assert run_fake(config).generated_samples == 0
