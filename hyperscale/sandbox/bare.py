"""No sandbox: limits alone, for machines without one, and only where the user confirms it."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from hyperscale.sandbox.base import Description, Sandbox
from hyperscale.sandbox.launch import ENVIRONMENT, inside, kernel_limits, spawn
from hyperscale.sandbox.process import Running
from hyperscale.sandbox.program import BOX, Limits, Program, Runtime

_START = """
import os, resource, sys
for limit in sys.argv[1].split():
    name, soft, hard = limit.split(":")
    kind = getattr(resource, "RLIMIT_" + name.upper(), None)
    if kind is not None:
        try: resource.setrlimit(kind, (int(soft), int(hard)))
        except (ValueError, OSError): pass
os.execv(sys.executable, [sys.executable, "-s", *sys.argv[2:]])
"""


class Bare(Sandbox):
    """Runner with the user's rights, in a temporary folder that is deleted afterwards."""

    name = "none"
    isolates = False

    def __init__(self, runtime: Runtime) -> None:
        super().__init__()
        self._runtime = runtime

    def _start(self, program: Program, limits: Limits) -> Running:
        folder = Path(tempfile.mkdtemp(prefix="hyperscale-unsafe-"))
        for name, content in program.files.items():
            inside(name)
            (folder / name).write_bytes(content)
        # The limit on processes counts all of the user's: not set here.
        kept = {name: values for name, values in kernel_limits(limits).items() if name != "nproc"}
        listed = " ".join(f"{name}:{soft}:{hard}" for name, (soft, hard) in kept.items())
        arguments = [argument.replace(f"{BOX}/", f"{folder}/") for argument in program.arguments]
        spawned = spawn(
            [sys.executable, "-I", "-S", "-c", _START, listed, *arguments],
            env={**ENVIRONMENT, "HOME": str(folder)},
            cwd=str(folder),
        )
        return Running(spawned, limits, contained=False, cleanup=lambda: delete(folder))

    def describe(self) -> Description:
        """See Sandbox."""
        return {"name": self.name, "version": "", "seccomp": False, "runtime": self._runtime.versions}


def delete(folder: Path) -> None:
    """Delete a folder with anything that a program left in it: folders without permissions, or 1,000 deep."""
    for path, folders, _ in os.walk(folder):
        for name in folders:
            inner = os.path.join(path, name)
            if not os.path.islink(inner):
                with suppress(OSError):
                    os.chmod(inner, stat.S_IRWXU)
    with suppress(RecursionError):
        shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        # rmtree is limited by Python's stack; rm is not.
        subprocess.run(["rm", "-rf", str(folder)], check=False, capture_output=True)
