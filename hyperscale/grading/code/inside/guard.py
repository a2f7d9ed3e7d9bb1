"""Remove the functions that LiveCodeBench's and HumanEval's graders remove before a program runs: it may notice."""

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
    """Time-out. Its name decides how an exception is counted; a program's `except:` may swallow it."""


def import_numpy(source: str) -> None:
    """Load numpy, as LiveCodeBench's grader does, before guard() removes functions that numpy's import needs."""
    if any(name in source for name in ("numpy", "scipy", "pandas", "networkx", "sympy")):
        with suppress(ImportError):
            import numpy  # noqa: F401


def guard() -> None:
    """Remove the functions."""
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
    """Raise TimeoutException in `seconds`; never, at 0."""
    signal.alarm(seconds)


def arm() -> None:
    """Make the alarm raise."""

    def raise_it(*_: object) -> None:
        raise TimeoutException

    signal.signal(signal.SIGALRM, raise_it)


def see_faults() -> bool:
    """Switch the fault handler on and off, as LiveCodeBench's grader does before each test; False without a stderr."""
    try:
        faulthandler.enable()
        faulthandler.disable()
    except Exception:
        return False
    return True


def failure(error: BaseException) -> str:
    """Classify an exception as LiveCodeBench does: -3 is a time-out, -4 an error."""
    return "timeout" if "timeoutexception" in repr(error).lower() else "error"
