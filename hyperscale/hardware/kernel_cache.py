"""Machine code on disk, in a folder named by a hash of all sources that it was made from: checkouts share it."""

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
"""Folders kept of a module: versions of its sources, the latest used."""


# A parser takes a tenth of a second for all of them, in every process.
_IMPORT = re.compile(r"^[ \t]*(?:from +([\w.]+) +import +(\([^)]*\)|[^\n]*)|import +([^\n]*))", re.MULTILINE)
_NAME = re.compile(r"[\w.]+")


def keep(dispatcher: Any) -> None:
    """Let a function of `numba.njit` keep its machine code, in the first of these places that can be written to:
    `NUMBA_CACHE_DIR`, `$XDG_CACHE_HOME/hyperscale/numba`, and `__pycache__` beside the source. Without one it is
    compiled anew in every process.

    numba itself notices a change only in the function's own file, not in what is inlined from others.
    """
    if numba.config.DISABLE_JIT:
        return  # It is the plain function then.
    try:
        dispatcher._cache = _Cache(dispatcher.py_func)
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise


def sources(module: str, file: Path) -> dict[str, Path]:
    """Module names and files: `module` itself, and all that it imports of its own package and of hyperscale, directly
    or not. What compiled code inlines, constants and layouts of arguments included, is in one of them.
    """
    found: dict[str, Path] = {module: file}
    left = [file]
    while left:
        for name in _imports(left.pop()):
            if name not in found and name.partition(".")[0] in (module.partition(".")[0], "hyperscale"):
                path = _file(name)
                if path is not None:
                    found[name] = path
                    left.append(path)
    return found


@cache
def _imports(file: Path) -> frozenset[str]:
    """Names that a source imports; those of a module's contents may be among them."""
    names: set[str] = set()
    for package, taken, plain in _IMPORT.findall(file.read_text(encoding="utf-8")):
        taken_names = _NAME.findall(taken)
        names |= {package, *(f"{package}.{name}" for name in taken_names)} if package else set(_NAME.findall(plain))
    return frozenset(names)


@cache
def _file(name: str) -> Path | None:
    """The source of a module of an imported package, or None where no such module is."""
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
    """A module's folder, made where there is none; None where nothing can be written or its source is not a file."""
    try:
        name = f"{module}-{_digest(module, file)}"
    except (OSError, UnicodeDecodeError):
        return None
    for root in _roots(file):
        folder = root / name
        try:
            new = not folder.exists()
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
            os.utime(folder)
        except OSError:
            continue
        if new:
            _prune(root, module)
        return folder
    return None


def _prune(root: Path, module: str) -> None:
    """Delete all but the latest used. A process that still uses one compiles anew, and makes it again."""

    def used(folder: Path) -> float:
        try:
            return folder.stat().st_mtime
        except FileNotFoundError:  # Pruned by another process.
            return 0.0

    for folder in sorted(root.glob(f"{module}-*"), key=used, reverse=True)[KEPT:]:
        shutil.rmtree(folder, ignore_errors=True)


class _Locator(_CacheLocator):
    """Tells numba the folder of a function's module."""

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
    """One file for each signature, named by it.

    numba's files are numbered in an index: two processes that compile a function at once, for two signatures, may
    both take number 1, and one is later given the machine code of the other.
    """

    def save(self, key: Any, data: Any) -> None:
        try:
            self._save_data(_name(key), (key, data))
        except OSError:
            return  # A full disk, or pruned a moment ago: the code runs all the same.

    def load(self, key: Any) -> Any:
        try:
            saved, data = self._load_data(_name(key))
        except (OSError, EOFError, pickle.UnpicklingError):  # Not there, or cut off by a power failure.
            return None
        return data if saved == key else None

    def _data_path(self, name: str) -> str:
        return f"{self._index_path.removesuffix('.nbi')}.{name}.nbc"


def _name(key: Any) -> str:
    # A named tuple's type says nothing of its fields' order.
    fields = [getattr(kind, "fields", ()) for kind in key[0]]
    return hashlib.sha256(repr((key, fields)).encode()).hexdigest()[:16]


class _Cache(FunctionCache):
    _impl_class = _Impl

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file = _Files(self._cache_path, self._impl.filename_base, self._impl.locator.get_source_stamp())
