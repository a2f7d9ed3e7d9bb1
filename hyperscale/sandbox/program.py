"""An untrusted program, its limits, how it ended; and what it may see: interpreter, system libraries, some packages."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

BOX = "/box"
"""Folder of the program's files inside the sandbox, read-only."""

SCRATCH = "/tmp"
"""The program's working folder, the only one that it may write to; empty at its start."""

MIB = 1 << 20

Why = Literal["exited", "cpu", "wall", "memory", "output", "processes"]
"""Cause of a program's end: itself (`exited`, by a signal, too) or a limit. `cpu`: the kernel's, on processor time."""

PACKAGES = ("numpy", "scipy", "sympy", "mpmath", "networkx", "sortedcontainers", "more_itertools")
"""Packages that programs may import if installed here; published solutions often use numpy."""

_SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/etc/ld.so.cache")


@dataclass(frozen=True)
class Limits:
    """Limits on a program, in bytes, seconds and counts; on memory for all its processes together."""

    cpu_seconds: int = 6
    """Processor time of one process, in whole seconds, as the kernel counts."""
    wall_seconds: float = 18.0
    """Total time, against programs that sleep. Longer than processor time, so that a busy machine fails no program."""
    memory_bytes: int = 2048 * MIB
    processes: int = 64
    """Processes and threads."""
    scratch_bytes: int = 256 * MIB
    """All files in SCRATCH; shared memory gets the same again."""
    output_bytes: int = 32 * MIB
    """stdout and stderr together."""
    open_files: int = 256
    stack_bytes: int = 64 * MIB


@dataclass(frozen=True)
class Program:
    """A Python program: `arguments` follow the interpreter, `files` are in BOX under their names."""

    arguments: tuple[str, ...]
    files: Mapping[str, bytes] = field(default_factory=dict)

    @classmethod
    def script(cls, source: str) -> Program:
        """Make a program of one file. Lone surrogates, which UTF-8 cannot encode, are replaced."""
        return cls((f"{BOX}/program.py",), {"program.py": source.encode("utf-8", "replace")})


@dataclass(frozen=True)
class Ended:
    """Cause of a program's end and its output, up to `output_bytes`."""

    why: Why
    code: int
    """Exit code; 128 + N where signal N ended it."""
    stdout: bytes
    stderr: bytes
    seconds: float

    @property
    def well(self) -> bool:
        """True if it ended by itself with exit code 0."""
        return self.why == "exited" and self.code == 0


@dataclass(frozen=True)
class Runtime:
    """An interpreter and the paths that it needs. Paths are the host's, and the same inside."""

    interpreter: Path
    links: tuple[tuple[str, str], ...]
    """(path, target) of symbolic links such as /lib -> usr/lib."""
    shown: tuple[Path, ...]
    """Files and folders, read-only; a later one is mounted over an earlier one."""
    hidden: tuple[Path, ...]
    """Folders under `shown` that are empty inside: packages not in PACKAGES."""
    packages: tuple[tuple[Path, Path], ...]
    """(host's path, path inside) of each package, in a hidden folder."""
    versions: dict[str, str]
    """Versions of interpreter and packages: they can decide a verdict."""


@cache
def find_runtime() -> Runtime:
    """Find the interpreter that hyperscale runs on, without its virtual environment."""
    interpreter = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    if not interpreter.exists():
        interpreter = Path(sys.executable).resolve()
    interpreter = interpreter.resolve()
    links, shown = [], []
    for name in _SYSTEM:
        path = Path(name)
        if path.is_symlink():
            links.append((name, str(path.readlink())))
        elif path.exists():
            shown.append(path)
    prefix = interpreter.parent.parent
    if not any(prefix.is_relative_to(path) for path in shown):
        # Not the prefix itself: it may be a user's home.
        shown += [interpreter, *(path for name in ("lib", "lib64") if (path := prefix / name).is_dir())]
    site = _site_packages(prefix)
    packages = tuple((place, site[0] / place.name) for name in PACKAGES for place in _places(name)) if site else ()
    return Runtime(interpreter, tuple(links), tuple(shown), site, packages, _versions())


def _site_packages(prefix: Path) -> tuple[Path, ...]:
    """List the interpreter's default package folders; the first is its own."""
    major, minor = sys.version_info[:2]
    own = Path(sysconfig.get_path("purelib", vars={"base": str(prefix), "platbase": str(prefix)}))
    lib = prefix / "lib"
    found = [own, lib / f"python{major}.{minor}/site-packages", lib / f"python{major}/dist-packages"]
    found += [lib / f"python{major}.{minor}/dist-packages", Path(f"/usr/local/lib/python{major}.{minor}/dist-packages")]
    return tuple(dict.fromkeys(path for path in found if path.is_dir()))


def _places(name: str) -> list[Path]:
    """Find a package's folder or file, and its wheel's libraries."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        return []
    origin = Path(spec.origin).resolve()  # A venv may be a link, which leads nowhere inside the sandbox.
    place = origin.parent if spec.submodule_search_locations else origin
    libraries = place.parent / f"{name}.libs"
    return [place, libraries] if libraries.is_dir() else [place]


def _versions() -> dict[str, str]:
    found = {"python": sys.version.split()[0]}
    for name in PACKAGES:
        try:
            found[name] = version(name.replace("_", "-"))
        except PackageNotFoundError:
            continue
    return found
