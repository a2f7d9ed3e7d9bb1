"""A sweep on a disk that is full, then a little less, and so on; and on one that is read-only.

Run in a mount namespace of its own, by tests/faults/test_disk.py: `python -m tests.faults.small_disk FOLDER`, FOLDER
being the mount point.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq

from hyperscale.results.part import parse_name, sound_bytes
from tests.fakes import FakeExecutor, write_task
from tests.faults.command import Ended, executor, swept
from tests.folders import assert_same_results, keys

PAGE = 4096


def fill(ballast: Path, left: int) -> None:
    """Leave so many bytes free."""
    ballast.unlink(missing_ok=True)
    disk = os.statvfs(ballast.parent)
    with ballast.open("wb") as file:
        file.write(bytes(max(0, disk.f_bavail * disk.f_frsize - left)))


def assert_whole(folder: Path) -> None:
    """Nothing half-written, by whatever name."""
    assert not list(folder.rglob("*.tmp"))
    for part in folder.glob("*/*.parquet"):
        sound_bytes(parse_name(part))
    for table in folder.glob("*.parquet"):
        pq.read_table(table)


def fill_up_and_make_room(disk: Path, outside: Path) -> None:
    folder, log, task = disk / "out", outside / "log", write_task(outside, problems=3)
    refused: list[str] = []
    for pages in range(1, 400, 2):
        fill(disk / "ballast", pages * PAGE)
        logged = len(keys(log))
        before = {path.name for path in folder.glob("samples/*.parquet")}
        ended = swept(folder, task, executor(log))
        assert len(keys(log)) - logged <= 3 * 2 - len(before), "a finished sample was drawn again"
        if ended.code == 0:
            break
        refused.append(refusal(ended))
        assert_whole(folder)
    assert ended.code == 0
    places = {place for line in refused for place in ("out (", "samples", "grades", ".parquet") if place in line}
    print(len(refused), "times refused, at", sorted(places))
    assert len(refused) > 3
    (disk / "ballast").unlink()
    swept(outside / "fresh", task)
    assert_same_results(folder, outside / "fresh")


def refusal(ended: Ended) -> str:
    assert ended.code == 2, ended
    assert "No space left on device" in ended.error
    return ended.error


def lose_the_right_to_write(disk: Path, outside: Path) -> None:
    folder, task = disk / "out", write_task(outside, problems=3)
    wider = ["--widths", "3"]
    before = {path: path.stat().st_ino for path in folder.rglob("*")}
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    ended = swept(folder, task, FakeExecutor, *wider)
    assert ended.code == 2
    assert "cannot write to" in ended.error
    assert "Read-only file system" in ended.error
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    assert {path: path.stat().st_ino for path in folder.rglob("*")} == before
    assert swept(folder, task, FakeExecutor, *wider).code == 0


if __name__ == "__main__":
    mounted, beside = Path(sys.argv[1]), Path(sys.argv[1]).parent
    fill_up_and_make_room(mounted, beside)
    lose_the_right_to_write(mounted, beside)
