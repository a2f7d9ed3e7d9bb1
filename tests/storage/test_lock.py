from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hyperscale.results.store import Store
from hyperscale.storage.lock import FolderLock

HOLD = """
import os, sys, time
from pathlib import Path
from hyperscale.storage.lock import FolderLock
lock = FolderLock(Path(sys.argv[1]))
if os.fork() == 0:
    print("worker", os.getpid(), flush=True)
    time.sleep(60)
    os._exit(0)
time.sleep(60)
"""


def test_a_second_process_is_refused_and_a_dead_one_does_not_block(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    worker = int(holder.stdout.readline().split()[1])
    try:
        with pytest.raises(ValueError, match=f"is in use by process {holder.pid} on "):
            Store(tmp_path)
        holder.kill()
        holder.wait()
        os.kill(worker, 0)
        with Store(tmp_path) as store:
            assert store.keys("samples") == set()
    finally:
        holder.kill()
        os.kill(worker, signal.SIGKILL)
        holder.stdout.close()


LINGER = """
import fcntl, os, socket, sys, time
lock = os.open(sys.argv[1] + "/.lock", os.O_RDWR | os.O_CREAT)
fcntl.flock(lock, fcntl.LOCK_EX)
os.write(lock, f"process {sys.argv[2]} on {socket.gethostname()}".encode())
print("held", flush=True)
time.sleep(float(sys.argv[3]))
"""


def test_what_a_dead_process_was_just_starting_is_waited_for(tmp_path: Path) -> None:
    """Between fork and exec a child has its parent's files, and keeps their locks if that is killed then."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    command = [sys.executable, "-c", LINGER, str(tmp_path)]
    with subprocess.Popen([*command, str(gone.pid), "0.3"], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        FolderLock(tmp_path).release()
    with subprocess.Popen([*command, str(os.getpid()), "60"], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        with pytest.raises(ValueError, match=f"is in use by process {os.getpid()} on "):
            FolderLock(tmp_path)
        child.kill()


def test_one_process_cannot_open_a_folder_twice(tmp_path: Path) -> None:
    with Store(tmp_path), pytest.raises(ValueError, match=f"process {os.getpid()} "):
        Store(tmp_path)
    Store(tmp_path).close()


def test_a_forked_child_neither_holds_nor_frees_the_lock(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    child = os.fork()
    if child == 0:
        lock.release()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    with pytest.raises(ValueError, match=f"process {os.getpid()} "):
        FolderLock(tmp_path)
    lock.release()
    lock.release()
    FolderLock(tmp_path).release()


def test_a_refused_store_leaves_the_folder_free(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{")
    for _ in range(2):
        with pytest.raises(ValueError, match="is not JSON"):
            Store(tmp_path)
    (tmp_path / "manifest.json").unlink()
    Store(tmp_path).close()


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "results"):
        with pytest.raises(ValueError, match=r"cannot write to .*choose another --output-dir"):
            Store(folder)


def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(65534)
        with pytest.raises(ValueError, match=r"cannot write to .*Permission denied"):
            Store(locked / "results")
    finally:
        os.seteuid(user)
