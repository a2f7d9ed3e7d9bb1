"""Sweeps whose results lie behind a URL: the same files, the same words, the same ends."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hyperscale.cli.main import run
from hyperscale.results.store import Store
from hyperscale.storage import remote
from hyperscale.sweep.resume import set_aside
from hyperscale.sweep.run import sweep
from tests.fakes import FakeExecutor, Silent, fake_config, fake_plan, run_fake, write_task
from tests.faults.command import executor, swept
from tests.folders import assert_same_results, keys
from tests.results.places import (
    abandon,
    bury,
    damage,
    download,
    files,
    parts,
    stored,
)
from tests.results.rows import sample_row

GRID = ((1, 16), (2, 16))


@pytest.fixture
def task(tmp_path: Path) -> Path:
    return write_task(tmp_path, problems=3)


@pytest.fixture
def expected(tmp_path: Path, task: Path) -> Path:
    """The same sweep into a folder on disk."""
    run_fake(fake_config(tmp_path / "expected", task))
    return tmp_path / "expected"


@pytest.mark.parametrize("url", ["s3"], indirect=True)
def test_a_sweep_leaves_what_it_leaves_on_a_disk(url: Path, task: Path, tmp_path: Path, expected: Path) -> None:
    report = run_fake(fake_config(url, task))
    assert report.generated_samples == 3 * 4
    assert report.folder == url
    copy = download(url, tmp_path / "copy")
    assert_same_results(copy, expected)
    names = {str(path.relative_to(expected)) for path in expected.rglob("*") if path.is_file()} - {".lock"}
    assert {name[:22] for name in files(url)} == {name[:22] for name in names}
    before = stored(url)
    assert run_fake(fake_config(url, task)).generated_samples == 0
    changed = {name for name, content in stored(url).items() if before.get(name) != content}
    assert changed <= {"manifest.json"}


@pytest.mark.parametrize("url", ["s3"], indirect=True)
def test_a_sweep_is_extended_and_its_damage_made_good(url: Path, task: Path, tmp_path: Path, expected: Path) -> None:
    run_fake(fake_config(url, task, grid=GRID))
    [part] = parts(url)
    damage(part)
    with pytest.raises(ValueError, match=f"{part.name} is damaged"):
        Store(url)
    progress = Silent()
    sweep(fake_plan(url, task), FakeExecutor, progress)
    assert any(f"{part} was damaged: moved to damaged/" in line for line in progress.messages)
    assert f"damaged/samples-{part.name}" in files(url)
    assert_same_results(download(url, tmp_path / "copy"), expected)


def test_damage_on_the_way_is_not_taken_for_damage(url: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store(url) as store:
        for thread in range(3):
            store.append("samples", [sample_row("p", thread)])
    real = remote.Copies.fetch
    broken: set[str] = set()

    def fetch(self: remote.Copies, paths: list[Path]) -> None:
        real(self, paths)
        for path in paths:
            if path.name not in broken:
                broken.add(path.name)
                self.keep(path, b"broken off")

    monkeypatch.setattr(remote.Copies, "fetch", fetch)
    with Store(url) as store:
        assert len(store.keys("samples")) == len(broken) == 3


def test_storage_that_fails_meanwhile_is_one_line_and_the_sweep_goes_on_later(
    url: Path, task: Path, tmp_path: Path, expected: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Least of all is what cannot be read taken for damaged."""
    log = tmp_path / "log"

    def fail() -> None:
        for name in ("put", "get", "copy", "delete", "listed"):
            monkeypatch.setattr(remote, name, refuse)

    def refuse(*_: object, **__: object) -> None:
        raise ValueError(f"cannot reach {url} (it does not answer)")

    with monkeypatch.context():
        ended = swept(url, task, executor(log, fail))
    monkeypatch.undo()
    assert ended.code == 2
    assert "it does not answer" in ended.error
    assert remote.listed(url / ".lock"), "nor could it be given free"
    bury(url)
    assert swept(url, task, executor(log)).code == 0
    assert len(keys(log)) == 3 * 2 + 1
    swept(tmp_path / "fresh", task)
    assert_same_results(download(url, tmp_path / "copy"), tmp_path / "fresh")


@pytest.mark.parametrize("url", ["s3"], indirect=True)
def test_figures_of_a_url_are_those_of_the_folder(
    url: Path, task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_fake(fake_config(url, task))
    folder = download(url, tmp_path / "copy")
    monkeypatch.chdir(tmp_path)
    assert run(["figures", str(folder), "--out", "from-disk", "--formats", "png"]) == 0
    assert run(["figures", str(url), "--formats", "png"]) == 0
    drawn = sorted((tmp_path / "plots" / url.name).iterdir())
    assert len(drawn) > 2
    for path in drawn:
        assert path.read_bytes() == (tmp_path / "from-disk" / path.name).read_bytes()


def test_force_begins_afresh_beside_the_old_folder(url: Path, task: Path) -> None:
    assert set_aside(url) is None
    run_fake(fake_config(url, task, grid=GRID))
    old = stored(url)
    for number in (1, 2):
        progress = Silent()
        report = sweep(fake_plan(url, task, grid=GRID), FakeExecutor, progress, force=True)
        moved = url.with_name(f"{url.name}.bak-{number}")
        assert progress.messages[0] == f"moved the old results to {moved}"
        assert report.generated_samples == 3 * 2
        assert (stored(moved) == old) is (number == 1)
    with Store(url), pytest.raises(ValueError, match="is in use by"):
        set_aside(url)
    foreign = url / "photos"
    remote.put(foreign / "a.jpg", b"")
    with pytest.raises(ValueError, match="holds neither manifest"):
        set_aside(foreign)
    assert files(foreign) == ["a.jpg"]


def test_two_drivers_do_not_share_a_url(url: Path, task: Path) -> None:
    store = Store(url)
    ended = swept(url, task)
    assert ended.code == 2
    assert f"is in use by process {os.getpid()} on " in ended.error
    abandon(store)
    assert swept(url, task).code == 0
