"""Run programs without bubblewrap: the same namespaces and limits by system calls (`stage.py`)."""

from __future__ import annotations

import base64
import json
import os
import platform
from pathlib import Path

from hyperscale.sandbox import stage
from hyperscale.sandbox.base import Description, Sandbox
from hyperscale.sandbox.launch import ENVIRONMENT, NOBODY, in_memory, inside, kernel_limits, python_command, spawn
from hyperscale.sandbox.process import Running
from hyperscale.sandbox.program import BOX, SCRATCH, Limits, Program, Runtime
from hyperscale.sandbox.seccomp import filter_program


class Namespaces(Sandbox):
    """Sandbox made by unshare and rlimits. ValueError on a machine whose system calls are unknown."""

    name = "namespaces"

    def __init__(self, runtime: Runtime) -> None:
        super().__init__()
        if platform.system() != "Linux" or platform.machine() not in stage.PIVOT_ROOT:
            raise ValueError(f"needs Linux on x86_64 or aarch64, this is {platform.system()} on {platform.machine()}")
        self._runtime = runtime
        self._filter = filter_program()
        self._stage = Path(stage.__file__).read_bytes()

    def _start(self, program: Program, limits: Limits) -> Running:
        # By descriptor: a program could read the host's paths in /proc/1/cmdline.
        with in_memory(self._stage, json.dumps(self._request(program, limits)).encode()) as (code, request):
            command = [str(self._runtime.interpreter), "-I", "-S", f"/proc/self/fd/{code}", str(request)]
            spawned = spawn(command, pass_fds=[code, request])
        return Running(spawned, limits)

    def describe(self) -> Description:
        """See Sandbox."""
        return {
            "name": self.name,
            "version": platform.release(),
            "seccomp": self._filter is not None,
            "runtime": self._runtime.versions,
        }

    def _request(self, program: Program, limits: Limits) -> dict[str, object]:
        runtime = self._runtime
        files = {name: base64.b64encode(content).decode() for name, content in program.files.items() if inside(name)}
        return {
            "parent": os.getpid(),
            "root": os.geteuid() == 0,
            "nobody": NOBODY,
            "links": runtime.links,
            "shown": [str(path) for path in runtime.shown],
            "hidden": [str(path) for path in runtime.hidden],
            "packages": [[str(place), str(target)] for place, target in runtime.packages],
            "scratch": SCRATCH,
            "scratch_bytes": limits.scratch_bytes,
            "box": BOX,
            "files": files,
            "limits": kernel_limits(limits),
            "filter": base64.b64encode(self._filter or b"").decode(),
            "command": python_command(runtime, program),
            "environment": dict(ENVIRONMENT),
        }
