"""Functions that LiveCodeBench's and HumanEval's graders take away before a program runs: it may notice."""

from __future__ import annotations

import builtins
import faulthandler
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress

_OS = (
    "kill", "system", "putenv", "remove", "removedirs", "rmdir", "fchdir", "setuid", "fork", "forkpty", "killpg",
    "rename", "renames", "truncate", "replace", "unlink", "fchmod", "fchown", "chmod", "chown", "chroot", "lchflags",
    "lchmod", "lchown", "getcwd", "chdir",
)  # fmt: skip
_SHUTIL = ("rmtree", "move", "chown")
_MODULES = ("ipdb", "joblib", "resource", "psutil", "tkinter")


class TimeoutException(Exception):
    """Time is up. Its name decides how an exception is counted; a program's `except:` may swallow it."""


def import_numpy(source: str) -> None:
    """LiveCodeBench's grader has numpy loaded before it takes away what numpy's import needs."""
    if any(name in source for name in ("numpy", "scipy", "pandas", "networkx", "sympy")):
        with suppress(ImportError):
            import numpy  # noqa: F401


def guard() -> None:
    """Take them away."""
    faulthandler.disable()
    builtins.quit = None  # type: ignore[assignment]
    builtins.help = None  # type: ignore[assignment]
    os.environ["OMP_NUM_THREADS"] = "1"
    for name in _OS:
        setattr(os, name, None)
    for name in _SHUTIL:
        setattr(shutil, name, None)
    subprocess.Popen = None  # type: ignore[assignment, misc]
    for name in _MODULES:
        sys.modules[name] = None  # type: ignore[assignment]


def ring(seconds: int) -> None:
    """Raise TimeoutException in so many seconds; never, at 0."""
    signal.alarm(seconds)


def arm() -> None:
    """Make the alarm raise."""

    def raise_it(*_: object) -> None:
        raise TimeoutException

    signal.signal(signal.SIGALRM, raise_it)


def see_faults() -> bool:
    """Switch the fault handler on and off, as LiveCodeBench's does before each test: False where it has no stderr."""
    try:
        faulthandler.enable()
        faulthandler.disable()
    except Exception:
        return False
    return True


def failure(error: BaseException) -> str:
    """How LiveCodeBench counts an exception: -3 is a time-out, -4 an error."""
    return "timeout" if "timeoutexception" in repr(error).lower() else "error"
