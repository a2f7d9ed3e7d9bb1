"""What a program may see of this machine: the interpreter, the system's libraries, and a few packages."""

from __future__ import annotations

import sys
import sysconfig
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("numpy", "scipy", "sympy", "mpmath", "networkx", "sortedcontainers", "more_itertools")
"""Packages that programs may import where this installation has them; published solutions use the first often."""

_SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/etc/ld.so.cache")


@dataclass(frozen=True)
class Runtime:
    """An interpreter, and what must be shown to run it. All paths are the host's, and kept inside."""

    interpreter: Path
    links: tuple[tuple[str, str], ...]
    """(path, target) of links such as /lib -> usr/lib."""
    shown: tuple[Path, ...]
    """Files and folders, read-only; a later one lies over an earlier one."""
    hidden: tuple[Path, ...]
    """Folders under `shown` that are empty inside: packages that nobody chose to show."""
    packages: tuple[tuple[Path, Path], ...]
    """(where it is, where it lies inside) of each package, in a hidden folder."""
    versions: dict[str, str]
    """Of the interpreter and of each package: they can decide a verdict."""


@cache
def find_runtime() -> Runtime:
    """The interpreter that hyperscale runs on, without the environment around it."""
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
        # Not the prefix itself: it may be somebody's home.
        shown += [interpreter, *(path for name in ("lib", "lib64") if (path := prefix / name).is_dir())]
    site = _site_packages(prefix)
    packages = tuple((place, site[0] / place.name) for name in PACKAGES for place in _places(name)) if site else ()
    return Runtime(interpreter, tuple(links), tuple(shown), site, packages, _versions())


def _site_packages(prefix: Path) -> tuple[Path, ...]:
    """Folders of packages that the interpreter looks into by itself; the first is its own."""
    major, minor = sys.version_info[:2]
    own = Path(sysconfig.get_path("purelib", vars={"base": str(prefix), "platbase": str(prefix)}))
    lib = prefix / "lib"
    found = [own, lib / f"python{major}.{minor}/site-packages", lib / f"python{major}/dist-packages"]
    found += [lib / f"python{major}.{minor}/dist-packages", Path(f"/usr/local/lib/python{major}.{minor}/dist-packages")]
    return tuple(dict.fromkeys(path for path in found if path.is_dir()))


def _places(name: str) -> list[Path]:
    """A package's folder or file, and the libraries that its wheel brought along."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        return []
    origin = Path(spec.origin)
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
