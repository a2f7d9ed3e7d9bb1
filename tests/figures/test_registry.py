"""Figures by name: built-ins, those of installed packages, those in a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from hyperscale.cli.main import run
from hyperscale.figures import FIGURES, draw
from tests.analysis.synthetic import points_table

OWN = """
from matplotlib.figure import Figure

def lone_line(data):
    page = Figure(figsize=(2, 2))
    page.add_subplot().plot(data.points["kv_reads"], data.points["accuracy"])
    return page

def nothing(data):
    return None

number = 3
"""


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    folder.mkdir()
    points_table({"vanilla": [1.0]}, tasks=("gsm8k",)).to_parquet(folder / "points.parquet")
    return folder


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that gives a figure, one that cannot be imported, and one named like a built-in."""
    site = tmp_path / "site"
    about = site / "own_figures-1.2.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: own-figures\nVersion: 1.2\n")
    (about / "entry_points.txt").write_text(
        "[hyperscale.figures]\nlone = own_figures:lone_line\nbroken = own_figures_broken:draw\n"
        "nothing = own_figures:nothing\nnumber = own_figures:number\ngrid = own_figures_broken:draw\n"
    )
    (site / "own_figures.py").write_text(OWN)
    (site / "own_figures_broken.py").write_text("raise RuntimeError('two\\nlines')\n")
    monkeypatch.syspath_prepend(str(site))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_every_built_in_is_a_file_of_its_name() -> None:
    assert {name: f"hyperscale.figures.{name}:draw" for name in FIGURES.builtins} == dict(FIGURES.builtins)
    assert all((FIGURES.load(name).__doc__ or "").startswith("Draw ") for name in FIGURES.builtins)


def test_only_the_figures_asked_for_are_drawn(results: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(["figures", str(results), "--out", str(out), "--formats", "png", "--figures", "grid, frontiers"]) == 0
    assert names(out) == {"grid.png", "frontiers.png"}


def test_an_unknown_figure_is_refused_before_anything_is_written(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["figures", str(results), "--out", str(tmp_path / "out"), "--figures", "grid,paretto"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "paretto" in line
    assert "did you mean 'pareto'?" in line
    assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match="no figure named"):
        draw(results, tmp_path / "out", figures=())


@pytest.mark.usefixtures("installed")
def test_an_installed_package_adds_a_figure_and_cannot_take_a_built_in_name(results: Path, tmp_path: Path) -> None:
    assert FIGURES.names() == [*FIGURES.builtins, "broken", "lone", "nothing", "number"]
    draw(results, tmp_path / "out", ("png",), ["lone", "grid"])
    assert names(tmp_path / "out") == {"lone.png", "grid.png"}


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("broken", "RuntimeError: two lines"),
        ("number", "expected a function draw"),
        ("nothing", "returned NoneType: return a matplotlib Figure"),
    ],
)
def test_a_broken_plugin_fails_by_name_in_one_line(name: str, reason: str, results: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"{name}.*{reason}") as failure:
        draw(results, tmp_path / "out", ("png",), [name])
    assert "\n" not in str(failure.value)


def test_a_broken_plugin_is_left_out_of_all_with_a_warning(
    installed: None, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = tmp_path / "site" / "own_figures-1.2.dist-info" / "entry_points.txt"
    entries.write_text("[hyperscale.figures]\nlone = own_figures:lone_line\nbroken = own_figures_broken:draw\n")
    with pytest.warns(UserWarning, match="left out: figure 'broken' of the package own-figures cannot be loaded"):
        draw(results, tmp_path / "out", ("png",))
    assert names(tmp_path / "out") == {f"{name}.png" for name in [*FIGURES.builtins, "lone"]}


def test_a_figure_in_a_file_needs_no_package(results: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    figure = f"{tmp_path}/mine.py:lone_line"
    assert run(["figures", str(results), "--out", str(tmp_path / "out"), "--formats", "svg", "--figures", figure]) == 0
    assert names(tmp_path / "out") == {"mine-lone_line.svg"}
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.py").write_text(OWN)
    with pytest.raises(ValueError, match="would be written to one file"):
        draw(results, tmp_path / "out", ("png",), [figure, f"{tmp_path}/other/mine.py:lone_line"])
