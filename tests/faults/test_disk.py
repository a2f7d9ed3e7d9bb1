"""A disk that is full or read-only, a folder that goes away: one line, exit code 2, and the same command completes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hyperscale.results.store import Store
from tests.fakes import write_task
from tests.faults.command import executor, swept
from tests.folders import assert_same_results, keys

pytestmark = pytest.mark.usefixtures("fast_disk")

SCRIPT = 'mount -t tmpfs -o size=2m tmpfs "$0" && exec "$1" -m tests.faults.small_disk "$0"'


def namespace(place: Path) -> list[str] | None:
    """What to put before a command that mounts, as root or as a user; None where neither may."""
    for prefix in (["unshare", "--mount"], ["unshare", "--user", "--map-root-user", "--mount"]):
        try:
            tried = subprocess.run([*prefix, "mount", "-t", "tmpfs", "tmpfs", str(place)], capture_output=True)
        except OSError:
            return None
        if tried.returncode == 0:
            return prefix
    return None


def test_a_full_disk_and_a_read_only_one(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    prefix = namespace(disk)
    if prefix is None:
        pytest.skip("this system lets no process mount a small disk of its own")
    done = subprocess.run(
        [*prefix, "sh", "-c", SCRIPT, str(disk), sys.executable],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "times refused" in done.stdout


def delete(folder: Path) -> None:
    shutil.rmtree(folder)


def move_away(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))


def replace_by_another(folder: Path) -> None:
    move_away(folder)
    with Store(folder):
        pass


@pytest.mark.parametrize("deed", [delete, move_away, replace_by_another])
def test_a_folder_that_goes_away_meanwhile(tmp_path: Path, deed: Callable[[Path], None]) -> None:
    folder, log, task = tmp_path / "out", tmp_path / "log", write_task(tmp_path, problems=3)
    ended = swept(folder, task, executor(log, lambda: deed(folder)))
    assert ended.code == 2
    assert "out was moved or deleted while it was in use" in ended.error
    assert not list(folder.glob("*/part-*")), "what is there now is not this sweep's"
    moved = tmp_path / "elsewhere"
    if moved.exists():
        shutil.rmtree(folder, ignore_errors=True)
        moved.rename(folder)
    assert swept(folder, task, executor(log)).code == 0
    lost = 3 if deed is delete else 0
    assert len(keys(log)) == 3 * 2 + 1 + lost, "beside what was lost, one chain is drawn again"
    swept(tmp_path / "fresh", task)
    assert_same_results(folder, tmp_path / "fresh")


def test_a_folder_that_cannot_be_made_or_written(tmp_path: Path) -> None:
    task, file = write_task(tmp_path), tmp_path / "file"
    file.write_text("")
    for folder in (file, file / "out", Path("/proc/out")):
        ended = swept(folder, task)
        assert ended.code == 2
        assert "cannot write to" in ended.error
        assert "choose another --output-dir" in ended.error
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(65534)
        assert "Permission denied" in swept(locked / "out", task).error
    finally:
        os.seteuid(user)


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    task = write_task(tmp_path)
    with Store(tmp_path / "out"):
        ended = swept(tmp_path / "out", task)
    assert ended.code == 2
    assert f"is in use by process {os.getpid()}" in ended.error
    assert swept(tmp_path / "out", task).code == 0
