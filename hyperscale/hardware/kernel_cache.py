"""Machine code on disk, in a folder named by a hash of all its sources, so that checkouts share it."""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile, _CacheLocator

KEPT = 8
"""Folders kept per module, the most recently used: one per version of its sources."""


# Regular expressions, because a parser would take a tenth of a second in every process.
_IMPORT = re.compile(r"^[ \t]*(?:from +([\w.]+) +import +(\([^)]*\)|[^\n]*)|import +([^\n]*))", re.MULTILINE)
_NAME = re.compile(r"[\w.]+")


def keep(dispatcher: Any) -> None:
    """Keep the machine code of a `numba.njit` function on disk.

    It goes to the first writable one of `NUMBA_CACHE_DIR`, `$XDG_CACHE_HOME/hyperscale/numba`, and `__pycache__`
    beside the source; without one, every process compiles again. numba's own cache notices changes only in the
    function's file, not in code inlined from others.
    """
    if numba.config.DISABLE_JIT:
        return  # njit returned the plain function.
    try:
        dispatcher._cache = _Cache(dispatcher.py_func)
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise


def sources(module: str, file: Path) -> dict[str, Path]:
    """Map module names to files: `module` and its transitive imports from its own package.

    Everything that compiled code inlines, constants and layouts of arguments included, is in one of them.
    """
    found: dict[str, Path] = {module: file}
    left = [file]
    while left:
        for name in _imports(left.pop()):
            if name not in found and name.partition(".")[0] == module.partition(".")[0]:
                path = _file(name)
                if path is not None:
                    found[name] = path
                    left.append(path)
    return found


@cache
def _imports(file: Path) -> frozenset[str]:
    """Return the names that a source imports: modules, and possibly members of modules."""
    names: set[str] = set()
    for package, taken, plain in _IMPORT.findall(file.read_text(encoding="utf-8")):
        taken_names = _NAME.findall(taken)
        names |= {package, *(f"{package}.{name}" for name in taken_names)} if package else set(_NAME.findall(plain))
    return frozenset(names)


@cache
def _file(name: str) -> Path | None:
    """Return the source of a module of an imported package; None if there is no such module."""
    top, *rest = name.split(".")
    for folder in getattr(sys.modules.get(top), "__path__", ()):
        base = Path(folder, *rest)
        for path in (base.with_name(f"{base.name}.py"), base / "__init__.py"):
            if path.is_file():
                return path
    return None


@cache
def _digest(module: str, file: Path) -> str:
    hashed = hashlib.sha256(f"{numba.__version__}\n".encode())
    for name, path in sorted(sources(module, file).items()):
        content = path.read_bytes()
        hashed.update(f"{name} {len(content)}\n".encode() + content)
    return hashed.hexdigest()[:16]


def _roots(file: Path) -> Iterator[Path]:
    if numba.config.CACHE_DIR:
        yield Path(numba.config.CACHE_DIR)
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if os.path.isabs(home):
        yield Path(home, "hyperscale", "numba")
    yield file.parent / "__pycache__"


@cache
def _folder(module: str, file: Path) -> Path | None:
    """Return a module's folder, made if missing; None if no root is writable or its source is not a file."""
    try:
        name = f"{module}-{_digest(module, file)}"
    except (OSError, UnicodeDecodeError):
        return None
    for root in _roots(file):
        folder = root / name
        try:
            new = not folder.exists()
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if _is_foreign(folder):
                continue
            tempfile.TemporaryFile(dir=folder).close()
            os.utime(folder)
        except OSError:
            continue
        if new:
            _prune(root, module)
        return folder
    return None


def _is_foreign(folder: Path) -> bool:
    """Tell whether another user could have put machine code into a folder: what lies in it is unpickled."""
    if not hasattr(os, "getuid"):
        return False
    status = folder.stat()
    return status.st_uid != os.getuid() or bool(status.st_mode & 0o022)


def _prune(root: Path, module: str) -> None:
    """Delete all but the KEPT most recently used; a process that still uses a deleted one compiles again."""

    def used(folder: Path) -> float:
        try:
            return folder.stat().st_mtime
        except FileNotFoundError:  # Pruned by another process.
            return 0.0

    for folder in sorted(root.glob(f"{module}-*"), key=used, reverse=True)[KEPT:]:
        shutil.rmtree(folder, ignore_errors=True)


class _Locator(_CacheLocator):
    """numba's locator, for the folder of a function's module."""

    def __init__(self, function: Callable[..., Any], file: Path, folder: Path) -> None:
        self._py_file = str(file)  # numba's warnings name it.
        self._function, self._folder = function, folder

    @classmethod
    def from_function(cls, py_func: Callable[..., Any], py_file: str) -> _Locator | None:
        file = Path(py_file)
        folder = _folder(py_func.__module__, file)
        return None if folder is None else cls(py_func, file, folder)

    def get_cache_path(self) -> str:
        return str(self._folder)

    def get_source_stamp(self) -> str:
        return self._folder.name

    def get_disambiguator(self) -> str:
        return str(self._function.__code__.co_firstlineno)


class _Impl(CompileResultCacheImpl):
    _locator_classes = (_Locator,)


class _Files(IndexDataCacheFile):
    """Cache files named by a hash of their signature.

    numba numbers its files in an index: two processes that compile a function for two signatures at once may both
    take number 1, and one later loads the machine code of the other.
    """

    def save(self, key: Any, data: Any) -> None:
        try:
            self._save_data(_name(key), (key, data))
        except OSError:
            return  # The disk is full or the folder was pruned; the code runs without a cache.

    def load(self, key: Any) -> Any:
        try:
            saved, data = self._load_data(_name(key))
        except (OSError, EOFError, pickle.UnpicklingError):  # Missing, or truncated by a power failure.
            return None
        return data if saved == key else None

    def _data_path(self, name: str) -> str:
        return f"{self._index_path.removesuffix('.nbi')}.{name}.nbc"


def _name(key: Any) -> str:
    # The repr of a named tuple's type omits the order of its fields.
    fields = [getattr(kind, "fields", ()) for kind in key[0]]
    return hashlib.sha256(repr((key, fields)).encode()).hexdigest()[:16]


class _Cache(FunctionCache):
    _impl_class = _Impl

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file = _Files(self._cache_path, self._impl.filename_base, self._impl.locator.get_source_stamp())
