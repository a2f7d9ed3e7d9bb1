"""Processes that take, lose and free one folder behind a URL, request by request."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from hyperscale.storage import remote
from hyperscale.storage.holder import Holder
from hyperscale.storage.lock import Lock, hold, unlock
from tests.results.places import Killed, new_place


class World:
    """Storage whose requests are counted, and processes that die when the test says so."""

    def __init__(self, patched: pytest.MonkeyPatch, folders: Callable[[], Path]) -> None:
        self.folder = folders
        self._dead: set[int] = set()
        self._pids, self._requests, self._due = 0, 0, -1
        self._deed: Callable[[], object] = lambda: None
        for name in ("put", "get", "listed", "delete"):
            patched.setattr(remote, name, self._counted(getattr(remote, name)))
        real = Holder.of_this_process

        def next_process() -> Holder:
            self._pids += 1
            return dataclasses.replace(real(), pid=self._pids)

        patched.setattr(Holder, "of_this_process", next_process)
        patched.setattr(Holder, "lives", lambda holder: holder.pid not in self._dead)

    def _counted(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def request(*arguments: Any, **more: Any) -> Any:
            self._requests += 1
            if self._requests == self._due:
                self._due = -1
                self._deed()
            return real(*arguments, **more)

        return request

    def moments(
        self, main: Callable[[Path], object], deed: Callable[[Path], object], prepare: Callable[[Path], object]
    ) -> Iterator[Path]:
        """Prepare a folder and do `main` there, `deed` done whole before its first request; the next, its second ..."""
        for moment in range(1, 100):
            folder = self.folder()
            prepare(folder)
            done: list[bool] = []

            def now(folder: Path = folder, done: list[bool] = done) -> None:
                done.append(True)
                deed(folder)

            self._deed, self._due = now, self._requests + moment
            main(folder)
            self._due = -1
            if not done:
                assert moment > 1
                return
            yield folder
        raise AssertionError("it does not end")

    def dies_at(self, moment: int, main: Callable[[Path], object], folder: Path) -> bool:
        """Let a process do `main` and die before its request of that number; whether it came to its end first."""

        def die() -> None:
            raise Killed

        self._deed, self._due, lived = die, self._requests + moment, False
        with suppress(Killed):
            main(folder)
            lived = True
        self._due = -1
        self._dead.add(self._pids)
        return lived

    def dead_holder(self, folder: Path) -> Path:
        """Give a folder a holder that died."""
        hold(folder)
        self._dead.add(self._pids)
        return folder


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    return World(monkeypatch, lambda: new_place("memory", tmp_path))


class Starters:
    """Those that got in, and those that hold the folder still."""

    def __init__(self) -> None:
        self.inside: list[Lock] = []

    def start(self, folder: Path) -> None:
        with suppress(ValueError):
            self.inside.append(hold(folder))

    def holding(self) -> list[Lock]:
        def holds(lock: Lock) -> bool:
            try:
                lock.check()
            except ValueError:
                return False
            return True

        return [lock for lock in self.inside if holds(lock)]

    def free(self, folder: Path) -> None:
        """All release; then one can start, and nothing is left."""
        for lock in self.inside:
            lock.release()
        self.inside = []
        hold(folder).release()
        assert remote.listed(folder / ".lock") == []


def nothing(folder: Path) -> None:
    pass


@pytest.mark.parametrize("before", ["nobody", "a dead process"])
def test_two_that_start_at_once(world: World, before: str) -> None:
    starters = Starters()
    prepare = nothing if before == "nobody" else world.dead_holder
    for folder in world.moments(starters.start, starters.start, prepare):
        assert len(starters.inside) == len(starters.holding()) == 1
        starters.free(folder)


def test_one_that_starts_while_the_holder_ends(world: World) -> None:
    starters = Starters()
    outcomes = set()

    def end(folder: Path) -> None:
        starters.inside.pop(0).release()

    for folder in world.moments(starters.start, end, starters.start):
        assert len(starters.inside) == len(starters.holding()) <= 1
        outcomes.add(len(starters.inside))
        starters.free(folder)
    assert outcomes == {0, 1}


def test_one_that_ends_while_another_starts(world: World) -> None:
    starters = Starters()

    def end(folder: Path) -> None:
        starters.inside.pop(0).release()

    for folder in world.moments(end, starters.start, starters.start):
        assert len(starters.inside) == len(starters.holding()) == 0
        starters.free(folder)


def test_two_others_that_hold_the_folder_one_after_the_other_meanwhile(world: World) -> None:
    """The dead holder that was found is gone by the time at which it is taken over."""
    starters = Starters()

    def others(folder: Path) -> None:
        starters.start(folder)
        if starters.inside:
            starters.inside.pop().release()
        starters.start(folder)

    for folder in world.moments(starters.start, others, world.dead_holder):
        assert len(starters.inside) == len(starters.holding()) == 1
        starters.free(folder)


def test_takers_that_die_anywhere_one_after_the_other(world: World) -> None:
    """Whatever they leave half-way, the next one gets in, and alone."""
    for first in count(1):
        for second in count(1):
            folder = world.dead_holder(world.folder())
            first_lived = world.dies_at(first, hold, folder)
            second_lived = world.dies_at(second, hold, folder)
            lock = hold(folder)
            with pytest.raises(ValueError, match="is in use by process"):
                hold(folder)
            lock.check()
            lock.release()
            hold(folder).release()
            if second_lived:
                break
        assert second > 3
        if first_lived:
            break
    assert first > 3


def test_one_that_dies_anywhere_within_its_release(world: World) -> None:
    for moment in count(1):
        folder = world.folder()
        lock = hold(folder)
        lived = world.dies_at(moment, lambda _, lock=lock: lock.release(), folder)  # type: ignore[misc]
        hold(folder).release()
        if lived:
            break
    assert moment > 1


@pytest.mark.parametrize("then", ["nobody", "another"])
def test_a_folder_that_is_unlocked_while_one_takes_it_over(world: World, then: str) -> None:
    """Removed by a person, it is not removed from under the one that took it over meanwhile."""
    starters = Starters()

    def removed(folder: Path) -> None:
        with suppress(ValueError):
            unlock(folder)
        if then == "another":
            starters.start(folder)

    for folder in world.moments(starters.start, removed, world.dead_holder):
        assert len(starters.holding()) == len(starters.inside) == 1
        starters.free(folder)


def test_two_that_unlock_at_once(world: World) -> None:
    told: list[str] = []

    def remove(folder: Path) -> None:
        with suppress(ValueError):
            told.append(unlock(folder))

    for folder in world.moments(remove, remove, world.dead_holder):
        assert sum(line.startswith("removed the lock of process") for line in told) == 1
        told.clear()
        hold(folder).release()
        assert remote.listed(folder / ".lock") == []
