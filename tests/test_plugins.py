"""What is found by name: built-ins, entry points of installed packages, and names that a file defines."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hyperscale.plugins import Origin, Registry, anchored, is_file_reference, unknown

GROUP = "hyperscale.shapes"


def accept(found: object) -> type:
    if not isinstance(found, type):
        raise ValueError("it must be a class")
    return found


SHAPES: Registry[Any] = Registry(
    "shape", {"fraction": "fractions:Fraction", "decimal": "decimal:Decimal"}, GROUP, accept
)


def install(folder: Path, package: str, entries: dict[str, str], version: str = "1.2") -> None:
    """What pip leaves of a package: metadata with entry points."""
    info = folder / f"{package}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    lines = [f"{name} = {target}\n" for name, target in entries.items()]
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{''.join(lines)}")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


def test_built_ins_are_imported_when_asked_for() -> None:
    script = (
        "import sys; from hyperscale.plugins import Registry\n"
        "shapes = Registry('shape', {'one': 'fractions:Fraction'}, 'hyperscale.shapes')\n"
        "print(shapes.names(), 'fractions' in sys.modules, shapes.load('one').__name__, shapes.origin('one'))\n"
        "print([name for name in sys.modules if name.startswith('hyperscale')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["['one'] False Fraction None", "['hyperscale', 'hyperscale.plugins']"]


def test_an_entry_point_is_listed_without_its_import_and_loaded_by_name(site: Path) -> None:
    source = "class Round: pass\n"
    (site / "round_shape.py").write_text(source)
    install(site, "roundness", {"round": "round_shape:Round", "broken": "no_such_module:X"})
    assert SHAPES.names() == ["fraction", "decimal", "broken", "round"]
    assert "round_shape" not in sys.modules
    assert SHAPES.load("round").__name__ == "Round"
    digest = hashlib.sha256(source.encode()).hexdigest()
    assert SHAPES.origin("round") == Origin("round", "roundness", "1.2", digest)


def test_built_ins_win(site: Path) -> None:
    install(site, "impostor", {"fraction": "no_such_module:X"})
    assert SHAPES.names() == ["fraction", "decimal"]
    assert SHAPES.load("fraction").__module__ == "fractions"
    assert SHAPES.origin("fraction") is None


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (None, "ModuleNotFoundError: No module named 'sad_shape'"),
        ("import no_such_thing", "ModuleNotFoundError: No module named 'no_such_thing'"),
        ("class Sad(:\n  pass", "SyntaxError: "),
        ("raise RuntimeError('two\\nlines')", "RuntimeError: two lines"),
        ("import sys; sys.exit('bye')", "SystemExit: bye"),
        ("Other = 1", "AttributeError: "),
        ("Sad = 3", "it must be a class"),
    ],
)
def test_a_broken_plugin_fails_when_it_is_asked_for_in_one_line(
    site: Path, monkeypatch: pytest.MonkeyPatch, source: str | None, reason: str
) -> None:
    monkeypatch.delitem(sys.modules, "sad_shape", raising=False)
    if source is not None:
        (site / "sad_shape.py").write_text(source)
    install(site, "sadness", {"sad": "sad_shape:Sad"})
    assert "sad" in SHAPES.names()
    assert SHAPES.load("decimal").__name__ == "Decimal"
    for ask in (SHAPES.load, SHAPES.origin):
        with pytest.raises(ValueError, match="shape 'sad' of the package sadness cannot be loaded: ") as error:
            ask("sad")
        assert reason in str(error.value)
        assert "\n" not in str(error.value)


def test_a_name_that_two_packages_give_is_refused(site: Path) -> None:
    install(site, "one", {"round": "fractions:Fraction"})
    install(site, "other", {"round": "decimal:Decimal"})
    with pytest.raises(ValueError, match="shape 'round' is given by one and other: uninstall all but one"):
        SHAPES.load("round")


def test_what_was_perhaps_meant_may_be_a_plugin(site: Path) -> None:
    install(site, "roundness", {"round": "no_such_module:X"})
    with pytest.raises(ValueError, match="unknown shape 'Rund'; did you mean 'round'"):
        SHAPES.load("Rund")
    with pytest.raises(ValueError, match="unknown shape 'decimals'; did you mean 'decimal'"):
        SHAPES.origin("decimals")
    with pytest.raises(ValueError, match="unknown shape 'q'; known: decimal, fraction, round"):
        SHAPES.load("q")


class TestFiles:
    """`PATH.py:NAME`."""

    def test_a_relative_path_is_taken_from_the_working_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = b"# caf\xc3\xa9\nclass Mine: size = 1\n"
        (tmp_path / "mine.py").write_bytes(source)
        monkeypatch.chdir(tmp_path)
        assert SHAPES.load("./mine.py:Mine").size == 1
        assert SHAPES.load("mine.py:Mine") is SHAPES.load(f"{tmp_path}/mine.py:Mine"), "one content, one module"
        digest = hashlib.sha256(source).hexdigest()
        assert SHAPES.origin("./mine.py:Mine") == Origin("mine.py:Mine", None, None, digest)
        assert SHAPES.names() == ["fraction", "decimal"]

    def test_an_edit_is_seen_at_once(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.py"
        sizes = []
        for size in (1, 2, 3):
            path.write_text(f"class Mine: size = {size}\n")
            sizes.append(SHAPES.load(f"{path}:Mine").size)
        assert sizes == [1, 2, 3]

    def test_what_the_file_defines_can_look_its_module_up(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.py"
        path.write_text(
            "from __future__ import annotations\nimport inspect, pickle\nfrom dataclasses import dataclass\n"
            "@dataclass\nclass Mine:\n    size: int = 1\n"
            "again = pickle.loads(pickle.dumps(Mine(3)))\nassert again.size == 3\n"
            "class Seen:\n    source = inspect.getsource(Mine)\n    file = __file__\n"
        )
        seen = SHAPES.load(f"{path}:Seen")
        assert seen.file == str(path)
        assert "size: int = 1" in seen.source

    @pytest.mark.parametrize(
        ("source", "reason"),
        [
            ("class Other: pass", "defines no 'Mine'"),
            ("import no_such_thing", "ModuleNotFoundError: No module named 'no_such_thing'"),
            ("class Mine(:\n  pass", "SyntaxError: "),
            ("Mine = 3", "it must be a class"),
            ("x = '\0'", "SyntaxError: |ValueError: |null bytes"),
        ],
    )
    def test_what_is_wrong_is_told_in_one_line_and_again(self, tmp_path: Path, source: str, reason: str) -> None:
        path = tmp_path / "mine.py"
        path.write_text(source)
        for _ in range(2):
            with pytest.raises(ValueError, match=reason) as error:
                SHAPES.load(f"{path}:Mine")
            assert str(error.value).startswith(f"shape '{path}:Mine' cannot be loaded: ")
            assert "\n" not in str(error.value)

    def test_a_file_that_is_not_there_and_a_name_that_is_not_given(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"there is no file .*mine\.py"):
            SHAPES.load(f"{tmp_path}/mine.py:Mine")
        with pytest.raises(ValueError, match=r"say which of the file's names, as in mine\.py:NAME"):
            SHAPES.load("mine.py")

    def test_a_registry_without_a_group_has_built_ins_alone(self, tmp_path: Path) -> None:
        (tmp_path / "mine.py").write_text("class Mine: pass\n")
        closed: Registry[type] = Registry("shape", {"fraction": "fractions:Fraction"})
        with pytest.raises(ValueError, match="unknown shape"):
            closed.load(f"{tmp_path}/mine.py:Mine")

    def test_a_reference_is_anchored_where_it_stands(self, tmp_path: Path) -> None:
        assert anchored("../mine.py:Mine", tmp_path / "tasks") == f"{tmp_path.resolve()}/mine.py:Mine"
        assert anchored("/a/mine.py:Mine", tmp_path) == "/a/mine.py:Mine"
        assert anchored("math", tmp_path) == "math"
        assert [is_file_reference(name) for name in ("a.py:B", "./x/a.py:B_1", "a.py", "a:B", "a.py:1")] == [
            True, True, False, False, False,
        ]  # fmt: skip


def test_an_unknown_name_is_met_with_the_nearest_or_all() -> None:
    assert unknown("colour", "Bleu", ["blue", "red"]) == "unknown colour 'Bleu'; did you mean 'blue'?"
    assert unknown("colour", "x", ["red", "blue"]) == "unknown colour 'x'; known: blue, red"
