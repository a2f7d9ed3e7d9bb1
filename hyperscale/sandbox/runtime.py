"""Find what a program may see of this machine: interpreter, system libraries, and a few packages."""

from __future__ import annotations

import sys
import sysconfig
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("numpy", "scipy", "sympy", "mpmath", "networkx", "sortedcontainers", "more_itertools")
"""Packages that programs may import if installed here; published solutions often use numpy."""

_SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/etc/ld.so.cache")


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
