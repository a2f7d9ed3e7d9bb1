"""What watches vLLM's processes: the guard that ends them with this one, and the count of the memory they hold."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace

import psutil
import pytest

from hyperscale.engines.vllm import process as vllm_process
from hyperscale.engines.vllm.guard import descendants
from hyperscale.engines.vllm.process import VllmMemory, VllmProcess

PARENT = """
import os, subprocess, sys, time
from hyperscale.engines.vllm.start import start_guard
before = subprocess.Popen(["sleep", "600"])
guard = start_guard()
started = subprocess.Popen([sys.executable, "-c",
    "import subprocess; child = subprocess.Popen(['sleep', '601']); print(child.pid, flush=True); child.wait()"],
    stdout=subprocess.PIPE, text=True)
grandchild = started.stdout.readline().strip()
if sys.argv[1] == "started":
    time.sleep(0.2)
    guard.stdin.close()
time.sleep(0.7)
print(before.pid, started.pid, grandchild, guard.pid, flush=True)
time.sleep(600)
"""


def gone(process: int) -> bool:
    try:
        return psutil.Process(process).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("when", ["starting", "started"])
def test_what_a_killed_process_had_started_ends_with_it(when: str) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, when], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    before, started, grandchild, guard = map(int, parent.stdout.readline().split())
    try:
        assert not any(map(gone, (before, started, grandchild, guard)))
        parent.send_signal(signal.SIGKILL)
        deadline = time.monotonic() + 20
        while not all(map(gone, (started, grandchild, guard))) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert all(map(gone, (started, grandchild, guard)))
        assert not gone(before), "it was there before"
    finally:
        os.kill(before, signal.SIGKILL)
        parent.wait()
        parent.stdout.close()


@pytest.fixture
def parent_and_child() -> Iterator[tuple[psutil.Process, int]]:
    program = (
        "import subprocess; child = subprocess.Popen(['sleep', '600']); print(child.pid, flush=True); child.wait()"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    yield psutil.Process(parent.pid), child
    os.kill(child, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()


def test_one_who_got_a_dead_ones_number_is_spared(parent_and_child: tuple[psutil.Process, int]) -> None:
    parent, child = parent_and_child
    assert {process.pid for process in descendants(parent)} == {child}
    before = psutil.Process(parent.pid)
    before._ident = (parent.pid, 1.0)  # So psutil knows a process that began in 1970 with this number.
    assert descendants(before) == set()


def test_the_guard_ends_where_vllm_cannot_be_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise RuntimeError("NVML_ERROR_UNKNOWN")

    monkeypatch.setattr(vllm_process, "import_vllm", lambda quiet: None)
    monkeypatch.setattr(vllm_process, "VllmMemory", refuse)
    before = set(psutil.Process().children())
    with pytest.raises(RuntimeError, match="UNKNOWN"):
        VllmProcess({}, cpu=False)
    assert set(psutil.Process().children()) == before


class Refused(Exception):
    """As NVML's NotSupported and NoPermission."""


class Nvml:
    """A driver with two GPUs, as `pynvml` shows it."""

    NVMLError = Refused

    def __init__(self, *refuses: str) -> None:
        self.refuses = set(refuses)
        self.used = {0: 3_000, 1: 500}
        self.held: dict[int, list[SimpleNamespace]] = {0: [], 1: []}

    def nvmlDeviceGetCount(self) -> int:
        return len(self.used)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetMemoryInfo(self, device: int) -> SimpleNamespace:
        if "memory" in self.refuses:
            raise Refused
        return SimpleNamespace(used=self.used[device])

    def nvmlDeviceGetComputeRunningProcesses(self, device: int) -> list[SimpleNamespace]:
        if "processes" in self.refuses:
            raise Refused
        return self.held[device]

    def hold(self, device: int, process: int, held: int | None) -> None:
        self.held[device].append(SimpleNamespace(pid=process, usedGpuMemory=held))
        self.used[device] += held or 700


def test_a_gpus_memory_is_that_of_vllms_processes_on_all_of_them() -> None:
    nvml = Nvml()
    nvml.hold(0, 1, 9_999)  # someone else's
    memory = VllmMemory(cpu=False, nvml=nvml)
    child = subprocess.Popen(["sleep", "60"])
    try:
        memory.started()
        nvml.hold(0, child.pid, 4_000)
        nvml.hold(1, child.pid, 2_000)
        assert memory.most() == 6_000
        nvml.held[0].pop()
        assert memory.most() == 6_000, "the most, not the last"
    finally:
        child.kill()
        child.wait()


def test_in_a_container_that_hides_whose_memory_it_is_the_growth_counts() -> None:
    nvml = Nvml()
    memory = VllmMemory(cpu=False, nvml=nvml)
    memory.started()
    nvml.hold(0, 1_234_567, 4_000)
    nvml.hold(1, 1_234_568, 2_500)
    assert memory.most() == 6_500


def test_a_driver_that_refuses_says_nothing() -> None:
    """Of memory that GPU and CPU share it tells no bytes in use, under MIG nothing at all."""
    nvml = Nvml("memory", "processes")
    memory = VllmMemory(cpu=False, nvml=nvml)
    memory.started()
    nvml.hold(0, os.getpid(), 4_000)
    assert memory.most() is None
    nvml.refuses = {"memory"}
    assert memory.most() == 4_000
    nvml.refuses = {"memory", "processes"}
    assert memory.most() == 4_000, "what was seen was held"
    nvml.refuses = {"processes"}
    assert memory.most() == 4_000, "nothing is known of before"

    nvml = Nvml("processes")
    memory = VllmMemory(cpu=False, nvml=nvml)
    memory.started()
    nvml.hold(1, os.getpid(), 2_000)
    assert memory.most() == 2_000, "the growth"


def test_without_a_driver_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    memory = VllmMemory(cpu=False)
    memory.started()
    assert memory.most() is None


def test_a_cpus_memory_is_that_of_this_process_and_those_it_started() -> None:
    memory = VllmMemory(cpu=True)
    program = "import sys; block = bytearray(b'1') * 100_000_000; print('held', flush=True); sys.stdin.read()"
    child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    try:
        child.stdout.readline()
        memory.started()
        together = memory.most()
        alone = VllmMemory(cpu=True)
        alone.started()
        own = alone.most()
        assert together is not None
        assert own is not None
        assert 100_000_000 < together - own < 150_000_000
        assert own >= psutil.Process().memory_info().rss
    finally:
        child.communicate()
    assert memory.most() == together, "the peak stays"
