"""Run a vLLM engine: requests in, steps out, with their times and the memory held (a GPU's by NVML)."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any, NamedTuple

import psutil

from hyperscale.engines.vllm.guard import descendants
from hyperscale.engines.vllm.start import (
    LOUD,
    cause,
    environment_for_vllm,
    import_vllm,
    main_left_out,
    prepare_llvmlite,
    quiet_logger,
    quiet_terminal,
    start_guard,
)
from hyperscale.hardware.memory import peak_resident_bytes


class VllmMemory:
    """Memory of vLLM's processes: those that this process starts between construction and `started`."""

    def __init__(self, *, cpu: bool, nvml: Any = None) -> None:
        self._nvml: Any = None if cpu else nvml or _nvml()
        self._cpu = cpu
        self._others = {process.pid for process in descendants(psutil.Process())}
        self._before = self._used()
        self._processes: set[int] = set()
        self._most: int | None = None

    def started(self) -> None:
        """Note that all of vLLM's processes run."""
        here = psutil.Process()
        self._processes = {process.pid for process in descendants(here)} - self._others | {here.pid}

    def most(self) -> int | None:
        """Return the peak of bytes held so far, all included; None for a GPU without usable NVML.

        On a CPU it is the sum of the processes' peaks, where a shared page counts once for each.
        """
        now = peak_resident_bytes(sorted(self._processes)) if self._cpu else self._held() or self._growth()
        if now is not None:
            self._most = max(self._most or 0, now)
        return self._most

    def _growth(self) -> int | None:
        """Return the bytes in use beyond those at construction: in a container NVML may see other process numbers."""
        now = self._used()
        return None if now is None or self._before is None else max(0, now - self._before)

    def _held(self) -> int | None:
        """Return the bytes that vLLM's processes hold on all GPUs, by NVML."""
        return self._over_devices(
            lambda device: sum(
                process.usedGpuMemory or 0
                for process in self._nvml.nvmlDeviceGetComputeRunningProcesses(device)
                if process.pid in self._processes
            )
        )

    def _used(self) -> int | None:
        """Return the bytes in use on all GPUs, by any process."""
        return self._over_devices(lambda device: int(self._nvml.nvmlDeviceGetMemoryInfo(device).used))

    def _over_devices(self, count: Callable[[Any], int]) -> int | None:
        """Sum over all GPUs; None without NVML or its support: memory shared by GPU and CPU, slices (MIG)."""
        if self._nvml is None:
            return None
        try:
            devices = [self._nvml.nvmlDeviceGetHandleByIndex(i) for i in range(self._nvml.nvmlDeviceGetCount())]
            return sum(map(count, devices))
        except self._nvml.NVMLError:
            return None


def _nvml() -> Any:
    """Initialize NVML; None where there is none."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # ImportError, or an error of NVML's own types: no driver, no library
        return None
    return pynvml


class Step(NamedTuple):
    """Outputs of a vLLM step, and its wall-clock seconds."""

    outputs: Sequence[Any]
    seconds: float


class VllmProcess:
    """A vLLM engine in processes of its own. ValueError, in one line, where it does not start or dies."""

    def __init__(self, arguments: Mapping[str, Any], *, cpu: bool, without: Sequence[str] = ()) -> None:
        """Start vLLM. `arguments`: its EngineArgs; `without`: environment variables hidden from its processes."""
        # With VLLM_LOGGING_LEVEL set, vLLM's log goes to the terminal.
        self._log: IO[bytes] | None = None if LOUD in os.environ else tempfile.TemporaryFile()  # noqa: SIM115
        import_vllm(quiet=self._log is not None)
        self._guard = start_guard()
        try:
            self._memory = VllmMemory(cpu=cpu)
            # The import took some ten seconds: a progress table is up to date, and misses nothing while muted.
            with quiet_terminal(self._log), environment_for_vllm(without), main_left_out():
                self._engine = self._start(arguments)
            if self._log is not None:
                quiet_logger()
        except Exception:
            self._guard.kill()
            self._guard.wait()
            raise
        finally:
            assert self._guard.stdin is not None
            self._guard.stdin.close()
        self._memory.started()
        core = self._engine.engine_core
        self._clock = _Clock(core)
        # Not left to the cycle collector: the memory must be free for the next engine.
        self._end = weakref.finalize(self, _end, core, self._guard)

    def _start(self, arguments: Mapping[str, Any]) -> Any:
        from vllm import EngineArgs, LLMEngine
        from vllm.usage.usage_lib import UsageContext

        # Again: these imports may have loaded llvmlite.
        prepare_llvmlite()
        try:
            # The context of vLLM's own offline class: it sets how many tokens a step may prefill.
            return LLMEngine.from_engine_args(EngineArgs(**arguments), usage_context=UsageContext.LLM_CLASS)
        except Exception as error:  # of many types, vLLM's, torch's and pydantic's among them
            raise ValueError(f"vLLM did not start: {cause(error, self._log)}") from None

    @property
    def block_tokens(self) -> int:
        """KV tokens of a block."""
        return int(self._engine.vllm_config.cache_config.block_size)

    @property
    def unfinished(self) -> int:
        """Threads running or queued."""
        return int(self._engine.get_num_unfinished_requests())

    def add(self, name: str, prompt: Sequence[int], parameters: Mapping[str, Any]) -> None:
        """Request `parameters["n"]` continuations of a prompt."""
        from vllm import SamplingParams
        from vllm.inputs.engine import tokens_input
        from vllm.sampling_params import RequestOutputKind

        wanted = SamplingParams(**parameters, output_kind=RequestOutputKind.DELTA)
        if not self.unfinished:
            self._clock.start()
        with self._alive():
            self._engine.add_request(name, tokens_input(list(prompt)), wanted)

    def step(self) -> Step:
        """Run a step and wait for its end."""
        with self._alive():
            outputs = self._engine.step()
        return Step(outputs, self._clock.lap())

    def close(self) -> None:
        """End vLLM's processes; also done when this object is collected."""
        self._end()

    def abort(self, names: Sequence[str]) -> None:
        """Abort requests; do nothing where vLLM has ended, as after Ctrl-C."""
        with contextlib.suppress(Exception):
            self._engine.abort_request(list(names))

    def most_held(self) -> int | None:
        """Return the peak of bytes that its processes held so far; None if unknown."""
        return self._memory.most()

    @contextlib.contextmanager
    def _alive(self) -> Iterator[None]:
        from vllm.v1.engine.exceptions import EngineDeadError

        try:
            yield
        except EngineDeadError as error:
            raise ValueError(f"vLLM ended (finished samples are saved): {cause(error, self._log)}") from None


class _Clock:
    """Seconds of vLLM's steps by its own time stamps: it runs on while this process stores and grades samples.

    The stamps are of the system's monotonic clock.
    """

    def __init__(self, core: Any) -> None:
        self._last = self._stamp = 0.0
        get_output = core.get_output

        def noted() -> Any:
            outputs = get_output()
            self._stamp = outputs.timestamp
            return outputs

        core.get_output = noted

    def start(self) -> None:
        """Start timing: nothing ran until now."""
        self._last = time.monotonic()

    def lap(self) -> float:
        """Return the seconds between the ends of the last two steps; 0 for the rest of aborted work."""
        seconds = max(0.0, self._stamp - self._last)
        self._last += seconds
        return seconds


def _end(core: Any, guard: subprocess.Popen[bytes]) -> None:
    # It has nothing to save; by default a CPU's takes five seconds.
    core.shutdown(timeout=1.0)
    guard.kill()
    guard.wait()
