"""Let root run programs as the user nobody, with an interpreter that nobody can read.

Bubblewrap must start as nobody, and then sees what nobody may read: not an interpreter in /root, for example. A mount
namespace, made once and held by a descriptor, shows the runtime in a folder open to all; each program enters it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from weakref import finalize

from hyperscale.sandbox.launch import NOBODY
from hyperscale.sandbox.runtime import Runtime

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
            inside = [self._folder / str(index) for index in range(len(sources))]
            self.shown = dict(zip(runtime.shown, inside, strict=False))
            targets = [target for _, target in runtime.packages]
            self.packages = dict(zip(inside[len(runtime.shown) :], targets, strict=True))
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
