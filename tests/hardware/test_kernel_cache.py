"""Machine code is found again by another checkout, and by none whose sources, constants included, are others."""

from __future__ import annotations

import ast
import importlib
import os
import sys
from pathlib import Path
from typing import Any

import numba
import pytest
from numba import njit

import hyperscale.backends.h2o
from hyperscale.hardware import kernel_cache

KERNEL = """
from numba import njit
from {package}.sizes import (
    PAGE,
)

@njit
def pages(tokens):
    return (tokens + PAGE - 1) // PAGE
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "hyperscale" / "numba"


def checkout(folder: Path, page: int, package: str = "fakescale") -> Path:
    (folder / package).mkdir(parents=True)
    (folder / package / "__init__.py").write_text("")
    (folder / package / "sizes.py").write_text(f"PAGE = {page}\n")
    (folder / package / "kernels.py").write_text(KERNEL.format(package=package))
    return folder


def kernel(folder: Path) -> Any:
    """`pages` as a new process would import it from there."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "fakescale"]:
        del sys.modules[name]
    for remembered in (kernel_cache._file, kernel_cache._imports, kernel_cache._digest, kernel_cache._folder):
        remembered.cache_clear()
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(folder))
        patched.setattr(sys, "dont_write_bytecode", True)
        pages = importlib.import_module("fakescale.kernels").pages
    kernel_cache.keep(pages)
    return pages


def compiled_anew(pages: Any) -> bool:
    assert sum(pages.stats.cache_hits.values()) + sum(pages.stats.cache_misses.values()) == 1
    return not pages.stats.cache_hits


def test_another_checkout_finds_it_and_another_constant_does_not(tmp_path: Path) -> None:
    first = kernel(checkout(tmp_path / "a", 16))
    assert first(33) == 3
    assert compiled_anew(first)
    same = kernel(checkout(tmp_path / "b", 16))
    assert same(33) == 3
    assert not compiled_anew(same)
    other = kernel(checkout(tmp_path / "c", 8))
    assert other(33) == 5, "what it inlines was changed"
    assert compiled_anew(other)


def test_sources_are_all_that_a_module_imports() -> None:
    """By a walk of the syntax tree over the files themselves."""
    root = Path(hyperscale.backends.h2o.__file__).parents[2]
    paths = {".".join(path.relative_to(root).with_suffix("").parts): path for path in root.glob("hyperscale/**/*.py")}
    paths = {name.removesuffix(".__init__"): path for name, path in paths.items()}
    found, left = set(), ["hyperscale.backends.h2o"]
    while left:
        name = left.pop()
        if name in paths and name not in found:
            found.add(name)
            for node in ast.walk(ast.parse(paths[name].read_text())):
                if isinstance(node, ast.Import):
                    left += [alias.name for alias in node.names]
                if isinstance(node, ast.ImportFrom):
                    left += [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
    assert {"hyperscale.kvcache.block_table", "hyperscale.hardware.jit", "hyperscale.backends.bounded"} < found
    own = kernel_cache.sources("hyperscale.backends.h2o", paths["hyperscale.backends.h2o"])
    assert own == {name: paths[name] for name in found}


def test_the_users_own_place_wins(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "mine"))
    kernel(checkout(tmp_path / "a", 16))(1)
    assert list((tmp_path / "mine").glob("*/*.nbc"))
    assert not home.exists()


def test_beside_the_sources_where_there_is_no_home(tmp_path: Path, home: Path) -> None:
    home.parent.parent.touch()
    kernel(checkout(tmp_path / "a", 16))(1)
    assert list((tmp_path / "a" / "fakescale" / "__pycache__").glob("*/*.nbc"))


def test_without_any_place_only_the_cache_is_missing(tmp_path: Path, home: Path) -> None:
    home.parent.parent.touch()
    (checkout(tmp_path / "a", 16) / "fakescale" / "__pycache__").touch()
    assert kernel(tmp_path / "a")(33) == 3


def test_a_file_that_was_cut_off_is_made_anew(tmp_path: Path, home: Path) -> None:
    kernel(checkout(tmp_path / "a", 16))(33)
    [file] = home.glob("*/*.nbc")
    for content in (b"", file.read_bytes()[:100]):
        file.write_bytes(content)
        pages = kernel(tmp_path / "a")
        assert pages(33) == 3
        assert compiled_anew(pages)


def test_two_processes_do_not_take_each_others(tmp_path: Path) -> None:
    """Both look, find nothing, and compile for different types; each saves after the other has looked."""
    left, right = kernel(checkout(tmp_path / "a", 16)), kernel(tmp_path / "a")
    assert (left(33), right(33.0)) == (3, 3.0)
    for value in (33, 33.0):
        pages = kernel(tmp_path / "a")
        assert type(pages(value)) is type(value)
        assert not compiled_anew(pages)


def test_a_folder_that_goes_away_costs_only_the_cache(tmp_path: Path, home: Path) -> None:
    pages = kernel(checkout(tmp_path / "a", 16))
    for folder in home.iterdir():
        folder.rmdir()
    assert pages(33) == 3


def test_the_latest_used_versions_are_kept(tmp_path: Path, home: Path) -> None:
    for page in range(1, 12):
        kernel(checkout(tmp_path / str(page), page))
        for folder in home.iterdir():  # An hour later.
            seen = folder.stat().st_mtime - 3600
            os.utime(folder, (seen, seen))
        kernel(tmp_path / "1")
    kept = {folder.name for folder in home.iterdir()}
    assert len(kept) == kernel_cache.KEPT
    for page in (1, *range(5, 12)):
        kernel(tmp_path / str(page))
        assert {folder.name for folder in home.iterdir()} == kept


def test_a_function_that_is_not_compiled_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)

    @njit
    def twice(x: int) -> int:
        return 2 * x

    kernel_cache.keep(twice)
    assert twice(3) == 6


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="there are no owners of files here")
def test_a_folder_that_others_can_write_to_is_not_used(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text("")
    ours = kernel_cache._folder("module", file)
    assert ours is not None
    assert home in ours.parents
    kernel_cache._folder.cache_clear()
    ours.chmod(0o777)
    other = kernel_cache._folder("module", file)
    assert other is not None
    assert home not in other.parents, "machine code is unpickled: it may be another user's"
