"""How vLLM is started: its words, its environment, and what its processes get of this one."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from hyperscale.engines.vllm.start import cause, environment_for_vllm, import_vllm, quiet_terminal

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
        "from hyperscale.engines.vllm.start import quiet_terminal\n"
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


def test_llvmlite_is_seen_without_a_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """As vllm-cpu looks for one (triton_utils/dispatcher.py): in all that has a `__dict__`."""
    from llvmlite.binding import ffi

    monkeypatch.setitem(sys.modules, "vllm", ModuleType("vllm"))
    ffi.lib._fntab.pop("__dict__", None)
    assert not hasattr(vars(ffi.lib), "get"), "a function of LLVM's, by name"
    ffi.lib._fntab.pop("__dict__", None)
    import_vllm(quiet=False)
    assert vars(ffi.lib).get("kernel") is None
    assert ffi.lib.LLVMPY_GetVersionInfo() > 0
    monkeypatch.setattr(ffi, "lib", object())
    import_vllm(quiet=False)
    monkeypatch.delitem(sys.modules, "llvmlite.binding.ffi")
    import_vllm(quiet=False)
    assert "llvmlite.binding.ffi" not in sys.modules


def test_processes_of_vllms_do_not_run_the_main_script(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import multiprocessing, threading\n"
        "from hyperscale.engines.vllm.start import main_left_out\n"
        "print('script', flush=True)\n"
        "def start(*words):\n"
        "    child = multiprocessing.get_context('spawn').Process(target=print, args=words)\n"
        "    child.start(); child.join()\n"
        "if __name__ == '__main__':\n"
        "    with main_left_out():\n"
        "        start('of vLLM')\n"
        "        another = threading.Thread(target=start, args=('of another thread',))\n"
        "        another.start(); another.join()\n"
        "    start('later')\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == ["script", "of vLLM", "script", "of another thread", "script", "later"]
