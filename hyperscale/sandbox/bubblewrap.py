"""Run programs in bubblewrap: new namespaces for users, processes, mounts, network, IPC and host name.

Under root it must start as the user nobody, and then sees what nobody may read: not an interpreter in /root, for
example. A mount namespace, made once and held by a descriptor, shows the runtime in a folder open to all; each program
enters it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from weakref import finalize

from hyperscale.sandbox.base import Description, Sandbox
from hyperscale.sandbox.launch import ENVIRONMENT, NOBODY, in_memory, inside, kernel_limits, python_command, spawn
from hyperscale.sandbox.process import Running
from hyperscale.sandbox.program import BOX, SCRATCH, Limits, Program, Runtime
from hyperscale.sandbox.seccomp import filter_program

_SETUP = """
set -e
root=$1; shift
mount -t tmpfs -o mode=755 runtime "$root"
number=0
for path in "$@"; do
  if [ -d "$path" ]; then mkdir "$root/$number"; else : > "$root/$number"; fi
  mount --rbind "$path" "$root/$number"
  number=$((number + 1))
done
echo ready
read -r done
"""


class Keeper:
    """A mount namespace with `shown` and `packages` of a runtime, readable for all.

    ValueError where root may not make one, as in many containers.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._nsenter = shutil.which("nsenter")
        unshare, shell = shutil.which("unshare"), shutil.which("sh")
        if self._nsenter is None or unshare is None or shell is None:
            raise ValueError("nsenter and unshare are not installed: install util-linux")
        self._folder = Path(tempfile.mkdtemp(prefix="hyperscale-runtime-"))
        try:
            os.chmod(self._folder, 0o755)
            sources = [*runtime.shown, *(place for place, _ in runtime.packages)]
            mounts = [self._folder / str(index) for index in range(len(sources))]
            self.shown = dict(zip(runtime.shown, mounts, strict=False))
            targets = [target for _, target in runtime.packages]
            self.packages = dict(zip(mounts[len(runtime.shown) :], targets, strict=True))
            setup = [unshare, "--mount", "--propagation", "private", shell, "-c", _SETUP, "sh"]
            self._namespace = _hold([*setup, str(self._folder), *map(str, sources)])
            self._close = finalize(self, _give_back, self._namespace, self._folder)
        except BaseException:
            self._folder.rmdir()
            raise

    def command(self, command: list[str]) -> list[str]:
        """Wrap a command to run as nobody in the namespace."""
        assert self._nsenter is not None, "the constructor checks for nsenter"
        # Not inherited: the program would find the descriptor open.
        place = f"--mount=/proc/{os.getpid()}/fd/{self._namespace}"
        return [self._nsenter, place, f"--setuid={NOBODY}", f"--setgid={NOBODY}", "--", *command]

    def close(self) -> None:
        """Release the namespace; done at the process's end, too."""
        self._close()


def _give_back(namespace: int, folder: Path) -> None:
    os.close(namespace)
    folder.rmdir()


def _hold(setup: list[str]) -> int:
    """Run `setup` and return a descriptor of the mount namespace that it makes."""
    with subprocess.Popen(
        setup,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": os.defpath},
    ) as process:
        assert process.stdin is not None, "a pipe was asked for"
        assert process.stdout is not None, "a pipe was asked for"
        assert process.stderr is not None, "a pipe was asked for"
        if process.stdout.readline().strip() != "ready":
            said = process.stderr.read().strip().splitlines()
            raise ValueError(f"no mount namespace for the sandbox: {said[-1] if said else 'refused'}")
        namespace = os.open(f"/proc/{process.pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        process.stdin.close()
    return namespace


class Bubblewrap(Sandbox):
    """Sandbox made by `bwrap`. ValueError where it or util-linux is missing."""

    name = "bubblewrap"

    def __init__(self, runtime: Runtime) -> None:
        super().__init__()
        self._runtime = runtime
        self._bwrap, self._prlimit = _tool("bwrap"), _tool("prlimit")
        self._filter = filter_program()
        # root keeps power over files that it owns, such as /proc/sys, in a user namespace too.
        self._keeper = Keeper(runtime) if os.geteuid() == 0 else None
        self._version = _version(self._bwrap)

    def _start(self, program: Program, limits: Limits) -> Running:
        contents = list(program.files.values())
        filters = [] if self._filter is None else [self._filter]
        with in_memory(*contents, *filters) as data:
            files = dict(zip(program.files, data, strict=False))
            arguments = self._arguments(files, limits, data[-1] if filters else None)
            with in_memory(b"".join(os.fsencode(argument) + b"\0" for argument in arguments)) as (listed,):
                command = [self._bwrap, "--args", str(listed), *self._limited(program, limits)]
                # By descriptor: a program could read the host's paths in /proc/1/cmdline.
                if self._keeper is not None:
                    command = self._keeper.command(command)
                spawned = spawn(command, pass_fds=[*data, listed])
        return Running(spawned, limits)

    def describe(self) -> Description:
        """See Sandbox."""
        return {
            "name": self.name,
            "version": self._version,
            "seccomp": self._filter is not None,
            "runtime": self._runtime.versions,
        }

    def _release(self) -> None:
        if self._keeper is not None:
            self._keeper.close()

    def _limited(self, program: Program, limits: Limits) -> list[str]:
        # prlimit runs inside, where only the namespace's own processes count against the limit on them.
        flags = [f"--{name}={soft}:{hard}" for name, (soft, hard) in kernel_limits(limits).items()]
        return [self._prlimit, *flags, *python_command(self._runtime, program)]

    def _arguments(self, files: dict[str, int], limits: Limits, filters: int | None) -> list[str]:
        runtime = self._runtime
        size = str(limits.scratch_bytes)
        given = ["--unshare-all", "--unshare-user", "--uid", str(NOBODY), "--gid", str(NOBODY), "--hostname", "sandbox"]
        given += ["--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv"]
        for name, value in ENVIRONMENT.items():
            given += ["--setenv", name, value]
        for link, target in runtime.links:
            given += ["--symlink", target, link]
        shown = {path: path for path in runtime.shown} if self._keeper is None else self._keeper.shown
        for path in runtime.shown:
            given += ["--ro-bind", str(shown[path]), str(path)]
        for hidden in runtime.hidden:
            given += ["--tmpfs", str(hidden)]
        packages = dict(runtime.packages) if self._keeper is None else self._keeper.packages
        for place, target_path in packages.items():
            given += ["--ro-bind", str(place), str(target_path)]
        given += [
            "--proc",
            "/proc",
            "--dev",
            "/dev",
            "--dev-bind",
            "/dev/null",
            "/dev/zero",
            "--size",
            size,
            "--tmpfs",
            "/dev/shm",
        ]
        given += ["--size", size, "--tmpfs", SCRATCH, "--dir", BOX]
        for name, descriptor in files.items():
            given += ["--perms", "0444", "--file", str(descriptor), inside(name)]
        for folder in [*map(str, runtime.hidden), "/dev", "/"]:
            given += ["--remount-ro", folder]
        if filters is not None:
            given += ["--seccomp", str(filters)]
        return [*given, "--chdir", SCRATCH]


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        package = "bubblewrap" if name == "bwrap" else "util-linux"
        raise ValueError(f"{name} is not installed: install {package}")
    return str(Path(found).resolve())


def _version(bwrap: str) -> str:
    said = subprocess.run([bwrap, "--version"], capture_output=True, text=True, check=False, timeout=10).stdout
    found = re.search(r"\d[\d.]*", said)
    return found[0] if found else "unknown"
