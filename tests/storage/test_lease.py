"""One writer behind a URL, whoever dies, sleeps or races."""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from hyperscale.results.store import Store
from hyperscale.storage import remote
from hyperscale.storage.lease import Lease
from tests.results.places import abandon, fast_leases, new_place
from tests.results.rows import sample_row


def numbers(folder: Path) -> list[str]:
    return sorted(path.name for path in remote.listed(folder / ".lock"))


def rewrite(holder: Lease, **changes: object) -> None:
    """The holder's lease as another kind of process would have written it."""
    content = json.loads(holder._content()) | changes
    remote.put(holder._file(holder._number), json.dumps(content).encode())


def test_a_second_holder_is_refused_until_the_first_ends(url: Path) -> None:
    first = Lease(url)
    for _ in range(2):
        with pytest.raises(ValueError, match=rf"{url} is in use by process {os.getpid()} on .* free in 1\d\d seconds"):
            Lease(url)
    first.check()
    first.release()
    first.release()
    second = Lease(url)
    second.check()
    assert numbers(url) == ["00000002"]
    second.release()


def test_stores_exclude_each_other(url: Path) -> None:
    with Store(url) as store:
        store.append("samples", [sample_row()])
        with pytest.raises(ValueError, match="is in use by process"):
            Store(url)
    with Store(url) as again:
        assert len(again.read("samples")) == 1


def test_a_process_of_this_machine_that_died_does_not_block(url: Path) -> None:
    store = Store(url)
    store.append("samples", [sample_row()])
    abandon(store)
    with Store(url) as again:
        assert len(again.read("samples")) == 1


def test_a_process_elsewhere_blocks_until_its_lease_expires(url: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fast_leases(monkeypatch, renew=1000, stale=2, expiry=3)
    first = Lease(url)
    rewrite(first, machine="another", process=1, owner="process 1 on another")
    with pytest.raises(ValueError, match=rf"{url} is in use by process 1 on another: .* free in [123] seconds"):
        Lease(url)
    first.check()
    time.sleep(4.1)  # S3 tells whole seconds.
    second = Lease(url)
    with pytest.raises(ValueError, match=rf"is in use by process {os.getpid()} on .*, which took it over"):
        first.check()
    first.release()
    second.check()
    assert numbers(url) == ["00000002"]
    second.release()


def test_a_lease_is_renewed_while_its_holder_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fast_leases(monkeypatch, renew=0.05, stale=0.5, expiry=0.7)
    folder = new_place("memory", tmp_path)
    holder = Lease(folder)
    for _ in range(10):
        time.sleep(0.15)
        holder.check()
        with pytest.raises(ValueError, match="is in use by"):
            Lease(folder)
    assert json.loads(remote.get(holder._file(1)))["renewals"] > 5
    holder.release()


def test_a_folder_that_is_deleted_is_noticed(url: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    holder = Lease(url)
    remote.delete([url / ".lock" / name for name in numbers(url)])
    holder._renew()
    with pytest.raises(ValueError, match="was moved or deleted while it was in use"):
        holder.check()
    holder.release()
    assert numbers(url) == []


def test_a_lease_that_says_nothing_keeps_others_out_until_it_expires(url: Path) -> None:
    remote.put(url / ".lock" / "00000003", b"{")
    with pytest.raises(ValueError, match="is in use by another process"):
        Lease(url)


def test_where_storage_keeps_no_times_a_dead_holder_is_a_person_s_to_judge(
    url: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = Lease(url)
    monkeypatch.setattr(remote, "modified", lambda path: None)
    with pytest.raises(ValueError, match=r"if it is dead, delete .*\.lock/00000001, as this file system keeps no"):
        Lease(url)
    holder.release()


def test_of_many_that_start_at_once_one_gets_in(url: Path) -> None:
    for _ in range(4):
        held: list[Lease] = []
        barrier = threading.Barrier(5)

        def start(held: list[Lease] = held, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            with suppress(ValueError):
                held.append(Lease(url))

        threads = [threading.Thread(target=start) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(held) <= 1
        for holder in held:
            holder.release()
    Lease(url).release()


def test_a_put_that_was_sent_twice_finds_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = remote.put

    def answer_lost(path: Path, content: bytes, *, create: bool = False) -> None:
        real(path, content, create=create)
        if create:
            real(path, content, create=create)

    monkeypatch.setattr(remote, "put", answer_lost)
    Lease(new_place("memory", tmp_path)).release()


def test_a_forked_child_neither_holds_nor_frees_it(tmp_path: Path) -> None:
    folder = new_place("memory", tmp_path)
    holder = Lease(folder)
    holder._pid += 1
    holder.release()
    assert not json.loads(remote.get(holder._file(1)))["released"]
    holder._pid -= 1
    holder.release()
    assert json.loads(remote.get(holder._file(1)))["released"]
