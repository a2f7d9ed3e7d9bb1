"""Launch a program: environment, kernel limits, and data by descriptor, shared by the sandboxes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from hyperscale.sandbox.process import Spawned
from hyperscale.sandbox.program import BOX, SCRATCH, Limits, Program, Runtime

NOBODY = 65534

_HEAP_BYTES = 64 << 20
"""Address space that malloc reserves for a thread."""

ENVIRONMENT: Mapping[str, str] = {
    "PATH": "/usr/bin:/bin",
    "HOME": SCRATCH,
    "LANG": "C.UTF-8",
    # Sets of strings iterate in one order: a program's output must not change from run to run.
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    # LiveCodeBench's value: some answers have more than Python's 4,300 digits.
    "PYTHONINTMAXSTRDIGITS": "50000",
    # A thread for each core would count against the limits on memory and processes.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
"""The whole environment of a program."""


def kernel_limits(limits: Limits) -> dict[str, tuple[int, int]]:
    """Map each resource (`prlimit --name`, `resource.RLIMIT_NAME`) to its soft and hard limit."""
    # Address space, not memory: each thread reserves a stack and a heap. The watcher counts memory in use.
    addresses = limits.memory_bytes + limits.processes * (limits.stack_bytes + _HEAP_BYTES)
    return {
        "as": (addresses, addresses),
        "core": (0, 0),
        # SIGXCPU first, which identifies this limit; SIGKILL for programs that ignore it.
        "cpu": (limits.cpu_seconds, limits.cpu_seconds + 1),
        "fsize": (limits.scratch_bytes, limits.scratch_bytes),
        "memlock": (0, 0),
        "nofile": (limits.open_files, limits.open_files),
        "nproc": (limits.processes, limits.processes),
        "stack": (limits.stack_bytes, limits.stack_bytes),
    }


def python_command(runtime: Runtime, program: Program) -> list[str]:
    """Build the interpreter's command, without the user's packages."""
    return [str(runtime.interpreter), "-s", *program.arguments]


def inside(name: str) -> str:
    """Return the path of a program's file inside. ValueError unless the name is a plain one."""
    if "/" in name or name in ("", ".", ".."):
        raise ValueError(f"a program's file is named {name!r}: give a plain name")
    return f"{BOX}/{name}"


@contextmanager
def in_memory(*contents: bytes) -> Iterator[list[int]]:
    """Open a descriptor at the start of each content, held in memory: no file to clean up or to find."""
    descriptors: list[int] = []
    try:
        for content in contents:
            descriptors.append(os.memfd_create("sandbox", os.MFD_CLOEXEC))
            left = memoryview(content)
            while left:
                left = left[os.write(descriptors[-1], left) :]
            os.lseek(descriptors[-1], 0, os.SEEK_SET)
        yield descriptors
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def spawn(
    command: Sequence[str], *, pass_fds: Sequence[int] = (), env: Mapping[str, str] | None = None, cwd: str = "/"
) -> Spawned:
    """Start a command in a session of its own; its environment is empty by default."""
    theirs: list[int] = []
    ours: list[int] = []
    try:
        for index in range(3):
            read, write = os.pipe()
            theirs.append(write if index else read)
            ours.append(read if index else write)
            os.set_blocking(ours[-1], False)
            if os.geteuid() == 0:
                # Opening /dev/stdin checks the rights of the pipe's owner.
                os.fchown(read, NOBODY, NOBODY)
        stdin, stdout, stderr = theirs
        process = subprocess.Popen(
            command, stdin=stdin, stdout=stdout, stderr=stderr, pass_fds=pass_fds, cwd=cwd, env=dict(env or {}),
            start_new_session=True,
        )  # fmt: skip
    except BaseException:
        for end in ours:
            os.close(end)
        raise
    finally:
        for end in theirs:
            os.close(end)
    return Spawned(process, *ours)
