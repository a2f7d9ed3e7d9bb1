"""Leases of processes that sleep, wake and race, request by request, under a clock of the tests' own."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hyperscale.storage import lease, remote
from hyperscale.storage.lease import EXPIRY_SECONDS, STALE_SECONDS, Lease
from tests.results.places import new_place


class World:
    """Storage and processes under one clock that stands still; `between` is called before each request."""

    def __init__(self, patched: pytest.MonkeyPatch) -> None:
        self.now, self.requests = 0.0, 0
        self.between: Callable[[], None] = lambda: None
        self._times: dict[str, float] = {}
        patched.setattr(lease, "_clock", lambda: self.now)
        patched.setattr(lease, "_is_dead", lambda found: False)
        patched.setattr(lease, "RENEW_SECONDS", 1e6)
        for name in ("put", "get", "listed", "delete", "modified"):
            patched.setattr(remote, name, self._counted(name, getattr(remote, name)))

    def _counted(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def request(path: Any, *arguments: Any, **more: Any) -> Any:
            self.between()
            self.requests += 1
            if name == "modified":
                real(path)
                return datetime.fromtimestamp(0, UTC) + timedelta(seconds=self._times[str(path)])
            result = real(path, *arguments, **more)
            if name == "put":
                self._times[str(path)] = self.now
            return result

        return request

    def at(self, request: int, deed: Callable[[], object]) -> None:
        """Do a deed, whole, before the request of this number, counted from now."""
        due = self.requests + request

        def between() -> None:
            if self.requests == due:
                self.between = lambda: None
                deed()

        self.between = between


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def attempt(folder: Path, held: list[Lease]) -> None:
    with suppress(ValueError):
        held.append(Lease(folder))


def holds(holder: Lease) -> bool:
    try:
        holder.check()
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("asleep_until", [STALE_SECONDS + 1, EXPIRY_SECONDS + 1, 10 * EXPIRY_SECONDS])
def test_a_holder_that_sleeps_anywhere_within_a_renewal(tmp_path: Path, world: World, asleep_until: float) -> None:
    """Another takes the folder meanwhile, or is refused: never do both go on."""
    outcomes = set()
    for request in range(20):
        folder, held = new_place("memory", tmp_path), list[Lease]()
        world.now, world.between = 0.0, lambda: None
        holder = Lease(folder)
        world.now = STALE_SECONDS - 10

        def meanwhile(folder: Path = folder, held: list[Lease] = held) -> None:
            world.now = asleep_until
            attempt(folder, held)

        world.at(request, meanwhile)
        holder._renew()
        reached = world.now == asleep_until
        world.between = lambda: None
        still = holds(holder)
        assert not (held and still)
        assert held or still
        outcomes.add((bool(held), still))
        if not reached:
            break
    assert not reached
    assert outcomes == ({(False, True)} if asleep_until < EXPIRY_SECONDS else {(True, False), (False, True)})


def test_a_holder_that_wakes_anywhere_within_a_take_over(tmp_path: Path, world: World) -> None:
    """It is stale and makes the next number itself: one of the two gets it, or each sees the other and goes back."""
    outcomes = []
    for request in range(40):
        folder, held = new_place("memory", tmp_path), list[Lease]()
        world.now, world.between = 0.0, lambda: None
        holder = Lease(folder)
        world.now = EXPIRY_SECONDS + 1
        before = world.requests
        world.at(request, holder._renew)
        attempt(folder, held)
        world.between = lambda: None
        outcomes.append((bool(held), holds(holder)))
        assert sum(outcomes[-1]) == 1
        if world.requests - before < request:
            break
    assert {(True, False), (False, True)} == set(outcomes)


def test_two_that_take_over_at_the_same_time(tmp_path: Path, world: World) -> None:
    for request in range(40):
        folder, held = new_place("memory", tmp_path), list[Lease]()
        world.now, world.between = 0.0, lambda: None
        dead = Lease(folder)
        world.now = EXPIRY_SECONDS + 1
        before = world.requests
        world.at(request, partial(attempt, folder, held))
        attempt(folder, held)
        world.between = lambda: None
        assert len(held) == 1
        assert holds(held[0])
        assert not holds(dead)
        if world.requests - before < request:
            break


def test_a_renewal_that_ends_anywhere_within_a_take_over(tmp_path: Path, world: World) -> None:
    """It was begun in time and slept before it was sent: whoever took the folder for free sees it, and goes back."""
    outcomes = []
    for request in range(40):
        folder, held = new_place("memory", tmp_path), list[Lease]()
        world.now, world.between = 0.0, lambda: None
        holder = Lease(folder)
        world.now = EXPIRY_SECONDS + 1
        before = world.requests

        def late(holder: Lease = holder) -> None:
            holder._is_stale = lambda: False  # type: ignore[method-assign]
            holder._renew()

        world.at(request, late)
        attempt(folder, held)
        world.between = lambda: None
        outcomes.append((bool(held), holder._lost is None))
        if world.requests - before <= request:
            break  # Nothing was late.
        assert sum(outcomes[-1]) <= 1
    assert {(True, False), (False, True)} <= set(outcomes)


@pytest.mark.parametrize("ends", ["released", "expired"])
def test_two_others_that_hold_the_folder_one_after_the_other_meanwhile(tmp_path: Path, world: World, ends: str) -> None:
    """A number that was free when it was looked for is an old one by the time it is made."""
    for request in range(40):
        folder, held, late = new_place("memory", tmp_path), list[Lease](), list[Lease]()
        world.now, world.between = 0.0, lambda: None
        before = world.requests

        def others(folder: Path = folder, held: list[Lease] = held) -> None:
            attempt(folder, held)
            if ends == "expired":
                world.now += EXPIRY_SECONDS + 1
            elif held:
                held[0].release()
            attempt(folder, held)

        world.at(request, others)
        attempt(folder, late)
        world.between = lambda: None
        assert sum(map(holds, [*held[-1:], *late])) == 1
        assert len(held) < 2 or ends == "released" or not holds(held[0])
        if world.requests - before <= request:
            break


def test_silent_storage_ends_a_lease_only_once_it_is_stale(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = Lease(new_place("memory", tmp_path))

    def silent(*_: object, **__: object) -> None:
        raise ValueError("cannot read memory://x (it does not answer)")

    with monkeypatch.context() as patched:
        for name in ("put", "get", "listed"):
            patched.setattr(remote, name, silent)
        world.now = STALE_SECONDS - 1
        holder.check()
        world.now = STALE_SECONDS + 1
        with pytest.raises(ValueError, match="does not answer"):
            holder.check()
    holder.check()
    assert holder._number == 2
