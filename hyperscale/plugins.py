"""Load plugins by name: built-ins, names that a file defines, and entry points of installed packages.

A name is looked up in this order: a built-in, which is never shadowed; `PATH.py:NAME`, a user's file; an entry point
of the registry's group. Nothing is imported before it is loaded by name. This module imports nothing of the package.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from importlib.abc import ExecutionLoader
from importlib.metadata import EntryPoint, entry_points
from importlib.util import decode_source, module_from_spec, spec_from_loader
from pathlib import Path
from threading import RLock
from types import CodeType, ModuleType
from typing import Generic, Protocol, TypeVar, cast

_FILE = re.compile(r"(?P<path>.+\.py):(?P<name>[A-Za-z_][A-Za-z0-9_]*)", re.DOTALL)
_LOADING = RLock()

T = TypeVar("T")


@dataclass(frozen=True)
class Origin:
    """Identity of a plugin: name, package and version (None for a file), SHA-256 of its module's file.

    `sha256` is None where the module has no file. A file is named without its folder: its place does not matter.
    """

    name: str
    package: str | None
    version: str | None
    sha256: str | None


@dataclass(frozen=True)
class Registry(Generic[T]):
    """Registry of one kind of plugin: built-ins, then files, then entry points of `group`.

    `kind` names it in messages (`grader`). `builtins` maps a name to `module:attribute`. `accept` converts a plugin's
    object to a T; its ValueError says what was expected. Without a group there are built-ins alone.
    """

    kind: str
    builtins: Mapping[str, str]
    group: str | None = None
    accept: Callable[[object], T] | None = None

    def names(self) -> list[str]:
        """List built-ins in their order, then plugins that none of them shadows, sorted; imports none."""
        return [*self.builtins, *sorted({entry.name for entry in self._entries()} - self.builtins.keys())]

    def load(self, name: str) -> T:
        """Import the object of this name. ValueError, one line: unknown, or a plugin that cannot be loaded."""
        if name in self.builtins:
            module, _, attribute = self.builtins[name].partition(":")
            return cast(T, getattr(import_module(module), attribute))
        plugin = self._plugin(name)
        try:
            loaded = plugin.load()
            return cast(T, loaded) if self.accept is None else self.accept(loaded)
        except (Exception, SystemExit) as error:
            # A plugin's import may raise anything; a ValueError needs no type before its message.
            reason = str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
            reason = " ".join(reason.split())
            raise ValueError(f"{self.kind} {name!r}{plugin.where} cannot be loaded: {reason}") from error

    def check(self, name: str) -> None:
        """Raise ValueError where no built-in or plugin has this name; import nothing."""
        if name not in self.builtins:
            self._plugin(name)

    def origin(self, name: str) -> Origin | None:
        """Identify a plugin's origin; None for a built-in. Loads it; ValueError as `load`."""
        if name in self.builtins:
            return None
        self.load(name)
        return self._plugin(name).origin()

    def _entries(self) -> Collection[EntryPoint]:
        return () if self.group is None else entry_points(group=self.group)

    def _plugin(self, name: str) -> _Plugin:
        if self.group is not None:
            if found := _FILE.fullmatch(name):
                return _File(Path(found["path"]).expanduser(), found["name"])
            if name.endswith(".py"):
                raise ValueError(f"{self.kind} {name!r}: say which of the file's names, as in {name}:NAME")
        entries = [entry for entry in self._entries() if entry.name == name]
        if not entries:
            raise ValueError(unknown(self.kind, name, self.names()))
        if len(entries) > 1:
            packages = " and ".join(sorted(_package(entry) or "?" for entry in entries))
            raise ValueError(f"{self.kind} {name!r} is given by {packages}: uninstall all but one")
        return _Installed(entries[0])


def is_file_reference(name: str) -> bool:
    """Tell whether a name has the form `PATH.py:NAME`."""
    return _FILE.fullmatch(name) is not None


def anchored(name: str, folder: Path) -> str:
    """Make a file reference absolute, a relative path taken from `folder`; leave other names as they are."""
    found = _FILE.fullmatch(name)
    return name if found is None else f"{(folder / Path(found['path']).expanduser()).resolve()}:{found['name']}"


def unknown(kind: str, name: str, known: Collection[str]) -> str:
    """Write the message for a name that is not among `known`, with the nearest of them."""
    lower = {entry.lower(): entry for entry in known}
    near = get_close_matches(name.lower(), lower, n=1)
    hint = f"did you mean {lower[near[0]]!r}?" if near else f"known: {', '.join(sorted(known))}"
    return f"unknown {kind} {name!r}; {hint}"


class _Plugin(Protocol):
    @property
    def where(self) -> str: ...

    def load(self) -> object: ...

    def origin(self) -> Origin: ...


@dataclass(frozen=True)
class _Installed:
    """An entry point."""

    entry: EntryPoint

    @property
    def where(self) -> str:
        return f" of the package {_package(self.entry)}"

    def load(self) -> object:
        return self.entry.load()

    def origin(self) -> Origin:
        file = getattr(import_module(self.entry.module), "__file__", None)
        sha256 = _sha256(Path(file).read_bytes()) if file is not None and Path(file).is_file() else None
        version = None if self.entry.dist is None else self.entry.dist.version
        return Origin(self.entry.name, _package(self.entry), version, sha256)


@dataclass(frozen=True)
class _File:
    """A name that a file defines. Each version of its content is a module of its own, so that an edit takes effect."""

    path: Path
    name: str
    where = ""

    def load(self) -> object:
        module = _module(self.path)
        if not hasattr(module, self.name):
            raise ValueError(f"{self.path} defines no {self.name!r}")
        return getattr(module, self.name)

    def origin(self) -> Origin:
        return Origin(f"{self.path.name}:{self.name}", None, None, _sha256(self.path.read_bytes()))


class _HashedLoader(ExecutionLoader):
    """Loader of exactly the bytes that were hashed: no bytecode cache, no second read of the file."""

    def __init__(self, path: Path, content: bytes) -> None:
        self._path, self._content = path, content

    def get_filename(self, fullname: str) -> str:
        return str(self._path)

    def get_source(self, fullname: str) -> str:
        return decode_source(self._content)

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self._content, self.get_filename(fullname))


def _module(path: Path) -> ModuleType:
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    content = path.read_bytes()
    # Equal files in two folders are two modules: each may read what lies beside it.
    name = f"hyperscale_plugin_{_sha256(str(path.resolve()).encode() + content)[:16]}"
    with _LOADING:
        if name in sys.modules:
            return sys.modules[name]
        spec = spec_from_loader(name, _HashedLoader(path.resolve(), content))
        assert spec is not None, "spec_from_loader with a loader returns a spec"
        module = module_from_spec(spec)
        # Dataclasses and pickle look up a class's module during its execution.
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)  # type: ignore[union-attr]
        except BaseException:
            del sys.modules[name]
            raise
        return module


def _package(entry: EntryPoint) -> str | None:
    return None if entry.dist is None else entry.dist.name


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
