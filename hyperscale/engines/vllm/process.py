"""A vLLM engine at work: requests in, steps out, with the time that they took and the memory held."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any, NamedTuple

from hyperscale.engines.vllm.memory import VllmMemory
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


class Step(NamedTuple):
    """What a step of vLLM's gave, and the wall-clock seconds that it took."""

    outputs: Sequence[Any]
    seconds: float


class VllmProcess:
    """One vLLM engine in processes of its own. ValueError, in one line, where it does not start or ends."""

    def __init__(self, arguments: Mapping[str, Any], *, cpu: bool, without: Sequence[str] = ()) -> None:
        """`arguments` are those of vLLM's EngineArgs; `without` names variables that its processes must not see."""
        # Who asks vLLM to speak up gets its words where it says them.
        self._log: IO[bytes] | None = None if LOUD in os.environ else tempfile.TemporaryFile()  # noqa: SIM115
        import_vllm(quiet=self._log is not None)
        self._guard = start_guard()
        try:
            self._memory = VllmMemory(cpu=cpu)
            # Some ten seconds have gone by in the import: a progress table has been drawn as it is now, so that none of
            # what it draws again until vLLM runs is missed.
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
        # Not left to the collector of cycles: an engine that is let go of must give its memory to the next one.
        self._end = weakref.finalize(self, _end, core, self._guard)

    def _start(self, arguments: Mapping[str, Any]) -> Any:
        from vllm import EngineArgs, LLMEngine
        from vllm.usage.usage_lib import UsageContext

        # Again, for these bring more of vLLM, and llvmlite may have come with it.
        prepare_llvmlite()
        try:
            # That of vLLM's own offline class: it decides how many tokens a step may prefill.
            return LLMEngine.from_engine_args(EngineArgs(**arguments), usage_context=UsageContext.LLM_CLASS)
        except Exception as error:  # of many types, vLLM's, torch's and pydantic's among them
            raise ValueError(f"vLLM did not start: {cause(error, self._log)}") from None

    @property
    def block_tokens(self) -> int:
        """KV tokens that a block of its cache holds."""
        return int(self._engine.vllm_config.cache_config.block_size)

    @property
    def unfinished(self) -> int:
        """Threads that it works on, or will."""
        return int(self._engine.get_num_unfinished_requests())

    def add(self, name: str, prompt: Sequence[int], parameters: Mapping[str, Any]) -> None:
        """Ask for `parameters["n"]` continuations of a prompt."""
        from vllm import SamplingParams
        from vllm.inputs.engine import tokens_input
        from vllm.sampling_params import RequestOutputKind

        wanted = SamplingParams(**parameters, output_kind=RequestOutputKind.DELTA)
        if not self.unfinished:
            self._clock.start()
        with self._alive():
            self._engine.add_request(name, tokens_input(list(prompt)), wanted)

    def step(self) -> Step:
        """Wait for the end of a step of its."""
        with self._alive():
            outputs = self._engine.step()
        return Step(outputs, self._clock.lap())

    def close(self) -> None:
        """End vLLM's processes. Happens by itself once nobody refers to this any more."""
        self._end()

    def abort(self, names: Sequence[str]) -> None:
        """Give up requests. Where vLLM has ended, as after Ctrl-C, they have ended with it."""
        with contextlib.suppress(Exception):
            self._engine.abort_request(list(names))

    def most_held(self) -> int | None:
        """Most bytes that its processes were seen to hold by now; None where nobody can tell."""
        return self._memory.most()

    @contextlib.contextmanager
    def _alive(self) -> Iterator[None]:
        from vllm.v1.engine.exceptions import EngineDeadError

        try:
            yield
        except EngineDeadError as error:
            raise ValueError(f"vLLM ended (what had been generated is saved): {cause(error, self._log)}") from None


class _Clock:
    """Seconds of vLLM's steps by its own clock: its processes work on while this one stores and grades samples.

    They stamp what a step gave with the system's monotonic time.
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
        """Nothing ran until now."""
        self._last = time.monotonic()

    def lap(self) -> float:
        """Seconds since the step before the last one ended; 0 for what was left of work given up."""
        seconds = max(0.0, self._stamp - self._last)
        self._last += seconds
        return seconds


def _end(core: Any, guard: subprocess.Popen[bytes]) -> None:
    # It has nothing to save; left to itself, a CPU's takes five seconds.
    core.shutdown(timeout=1.0)
    guard.kill()
    guard.wait()
