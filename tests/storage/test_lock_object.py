"""One writer behind a URL: what the lock object says and keeps out, and how a person removes it."""

from __future__ import annotations

import json
import os
import threading
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from hyperscale.cli.main import run
from hyperscale.results.store import Store
from hyperscale.storage import remote
from hyperscale.storage.holder import Holder
from hyperscale.storage.lock import Lock, hold
from tests.results.places import NOBODY, abandon, bury
from tests.results.rows import sample_row

ELSEWHERE = {"machine": "another", "host": "node7", "pid": 4711}
both = pytest.mark.parametrize("url", ["memory", "s3"], indirect=True)


def locks(folder: Path) -> list[str]:
    return sorted(path.name for path in remote.listed(folder / ".lock"))


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Exit code of `hyperscale unlock`, and its one line."""
    code = run(["unlock", *arguments])
    told = capsys.readouterr()
    [line] = (told.out + told.err).splitlines()
    return code, line


@both
def test_a_second_holder_is_refused_until_the_first_ends(url: Path) -> None:
    first = hold(url)
    since = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"
    told = rf"^{url} is in use by process {os.getpid()} on \S+ since {since} \(.+\): let it end"
    for _ in range(2):
        with pytest.raises(ValueError, match=told) as caught:
            hold(url)
        assert "unlock" not in str(caught.value), "it is known to be alive"
    first.check()
    first.release()
    first.release()
    assert locks(url) == []
    second = hold(url)
    second.check()
    second.release()


def test_the_lock_says_who_holds_it(url: Path) -> None:
    with Store(url):
        said = json.loads(remote.get(url / ".lock" / "holder"))
    assert {"host", "pid", "started", "command", "since", "token"} <= said.keys()
    assert said["pid"] == os.getpid()


def test_stores_exclude_each_other(url: Path) -> None:
    with Store(url) as store:
        store.append("samples", [sample_row()])
        with pytest.raises(ValueError, match="is in use by process"):
            Store(url)
    with Store(url) as again:
        assert len(again.read("samples")) == 1


@both
def test_a_process_of_this_machine_that_died_does_not_block(url: Path) -> None:
    store = Store(url)
    store.append("samples", [sample_row()])
    abandon(store)
    with Store(url) as again:
        assert len(again.read("samples")) == 1
        with pytest.raises(ValueError, match="which took it over"):
            store.append("samples", [sample_row("q")])
        assert locks(url) == ["holder"]
    store.close()
    assert locks(url) == []


def test_a_process_whose_number_was_given_again_is_dead(url: Path) -> None:
    first = hold(url)
    started = psutil.Process().create_time() - psutil.boot_time()
    bury(url, pid=os.getpid(), started=started - 60)
    second = hold(url)
    with pytest.raises(ValueError, match="which took it over"):
        first.check()
    second.check()


@pytest.mark.parametrize("elsewhere", [ELSEWHERE, {"machine": ""}])
def test_a_process_elsewhere_blocks_until_a_person_says_that_it_is_dead(
    url: Path, elsewhere: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever runs here under its number, or does not."""
    first = hold(url)
    bury(url, **elsewhere)
    name = rf"{url} is in use by process {elsewhere.get('pid', NOBODY)} on "
    with pytest.raises(ValueError, match=rf"{name}.*; if it is dead: hyperscale unlock {url}$"):
        hold(url)
    code, line = said(capsys, str(url))
    assert code == 2
    assert line.startswith(f"error: {name}")
    assert line.endswith(f"see that it is dead, then hyperscale unlock {url} --force")
    code, line = said(capsys, str(url), "--force")
    assert code == 0
    assert line.startswith("removed the lock of process ")
    assert line.endswith(f" from {url}")
    assert locks(url) == []
    with pytest.raises(ValueError, match="was unlocked, moved or deleted while it was in use"):
        first.check()
    second = hold(url)
    first.release()
    second.check()
    second.release()


@both
def test_unlock_removes_the_lock_of_a_process_of_this_machine_that_died(
    url: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hold(url)
    bury(url)
    code, line = said(capsys, str(url))
    assert code == 0
    assert line.startswith(f"removed the lock of process {NOBODY} on ")
    assert locks(url) == []
    assert said(capsys, str(url)) == (0, f"{url} is not locked")


def test_unlock_refuses_where_the_holder_is_alive_here(url: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock = hold(url)
    for more in ([], ["--force"]):
        code, line = said(capsys, str(url), *more)
        assert code == 2
        assert line.startswith(f"error: {url} is in use by process {os.getpid()} on ")
        assert line.endswith("which runs on this machine: let it end or stop it")
    lock.check()
    lock.release()


def test_a_local_folder_has_nothing_to_unlock(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Store(tmp_path / "x"):
        code, line = said(capsys, str(tmp_path / "x"))
        assert code == 0
        assert line == f"{tmp_path / 'x'} is a local folder, whose lock ends with its process: nothing to remove"
        with pytest.raises(ValueError, match="is in use"):
            Store(tmp_path / "x")


@pytest.mark.parametrize("content", [b"{", b"[]", b"{}", b"\xff", b""])
def test_a_lock_that_says_nothing_keeps_others_out_until_it_is_forced(
    url: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    remote.put(url / ".lock" / "holder", content)
    with pytest.raises(ValueError, match="is in use by another process"):
        hold(url)
    assert said(capsys, str(url))[0] == 2
    assert said(capsys, str(url), "--force") == (0, f"removed the lock of another process from {url}")
    hold(url).release()


def test_a_folder_that_is_deleted_is_noticed(url: Path) -> None:
    lock = hold(url)
    remote.delete([url / ".lock" / "holder"])
    with pytest.raises(ValueError, match="was unlocked, moved or deleted while it was in use"):
        lock.check()
    lock.release()
    assert locks(url) == []


def test_silent_storage_costs_a_write_and_not_the_lock(url: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: object, **__: object) -> None:
        raise ValueError(f"cannot read {url} (it does not answer)")

    lock = hold(url)
    with monkeypatch.context() as patched:
        patched.setattr(remote, "get", silent)
        with pytest.raises(ValueError, match="does not answer"):
            lock.check()
    lock.check()
    lock.release()


@pytest.mark.parametrize("before", ["nobody", "a dead process"])
def test_of_many_that_start_at_once_one_gets_in(url: Path, before: str) -> None:
    for _ in range(4):
        if before != "nobody":
            hold(url)
            bury(url)
        held: list[Lock] = []
        barrier = threading.Barrier(5)

        def start(held: list[Lock] = held, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            with suppress(ValueError):
                held.append(hold(url))

        threads = [threading.Thread(target=start) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        [lock] = held
        lock.check()
        lock.release()
        assert locks(url) == []


def test_a_put_that_was_sent_twice_finds_itself(url: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = remote.put

    def answer_lost(path: Path, content: bytes, *, create: bool = False) -> None:
        real(path, content, create=create)
        if create:
            real(path, content, create=create)

    monkeypatch.setattr(remote, "put", answer_lost)
    hold(url)
    bury(url)
    hold(url).release()
    assert locks(url) == []


def test_a_forked_child_does_not_free_it(url: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = hold(url)
    with monkeypatch.context() as patched:
        patched.setattr(os, "getpid", lambda: NOBODY)
        lock.release()
    lock.check()
    lock.release()
    assert locks(url) == []


def test_a_process_that_another_user_s_proc_hides_is_not_taken_for_dead(
    url: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As under hidepid, where psutil sees nothing and a signal is refused."""
    hold(url)

    def hidden(pid: int) -> psutil.Process:
        raise psutil.NoSuchProcess(pid)

    def refused(pid: int, number: int) -> None:
        raise PermissionError

    with monkeypatch.context() as patched:
        patched.setattr("hyperscale.storage.holder.psutil.Process", hidden)
        patched.setattr("hyperscale.storage.holder.os.kill", refused)
        content = remote.get(url / ".lock" / "holder")
        parsed = Holder.parsed(content)
        assert parsed is not None
        assert parsed.lives() is None


def test_a_lock_whose_answer_was_lost_does_not_stay(url: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put = remote.put

    def lost(path: Path, content: bytes, **named: bool) -> None:
        put(path, content, **named)
        raise ValueError("no answer")

    with monkeypatch.context() as patched:
        patched.setattr("hyperscale.storage.remote.put", lost)
        with pytest.raises(ValueError, match="no answer"):
            hold(url)
    hold(url).release()
