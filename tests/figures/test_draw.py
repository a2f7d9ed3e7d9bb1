from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import matplotlib
import pandas as pd
import pytest

from hyperscale.figures import FIGURES, draw
from hyperscale.figures.data import describe_sampling, load, short_model
from hyperscale.results.schema import SCHEMA_VERSION
from tests.analysis.synthetic import points_table

SINGLE = {"vanilla": [1.0]}


SEVERAL = {"vanilla": [1.0], "dms": [4.0, 8.0], "quest": [4.0]}


def save(points: pd.DataFrame, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    points.to_parquet(folder / "points.parquet")
    return folder


def test_draw_writes_every_figure_in_every_format(tmp_path: Path) -> None:
    results = save(points_table(SINGLE), tmp_path / "results")
    paths = draw(results, tmp_path / "plots" / "deep")
    assert [path.name for path in paths] == [f"{name}.{kind}" for name in FIGURES.names() for kind in ("png", "pdf")]
    assert {path.name for path in paths} == {path.name for path in (tmp_path / "plots" / "deep").iterdir()}
    assert all(path.read_bytes()[:4] == (b"%PDF" if path.suffix == ".pdf" else b"\x89PNG") for path in paths)


@pytest.mark.slow
def test_pdf_fonts_can_be_edited_and_searched(tmp_path: Path) -> None:
    results = save(points_table(SEVERAL, tasks=("gsm8k",)), tmp_path / "results")
    for path in draw(results, tmp_path / "plots", ("pdf",)):
        content = path.read_bytes()
        assert b"/Type3" not in content
        assert b"/TrueType" in content or b"/CIDFontType2" in content


@pytest.mark.slow
def test_redrawing_gives_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    results = save(points_table(SEVERAL, tasks=("gsm8k",)), tmp_path / "results")
    kinds = ("png", "pdf", "svg")
    here = [hashlib.sha256(path.read_bytes()).hexdigest() for path in draw(results, tmp_path / "a", kinds)]
    program = (
        "import sys; from pathlib import Path; from hyperscale.figures import draw; "
        "draw(Path(sys.argv[1]), Path(sys.argv[2]), ('png', 'pdf', 'svg'))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "SOURCE_DATE_EPOCH": "86400"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    subprocess.run([sys.executable, "-c", program, str(results), str(tmp_path / "b")], env=environment, check=True)
    there = [
        hashlib.sha256((tmp_path / "b" / f"{name}.{kind}").read_bytes()).hexdigest()
        for name in FIGURES.names()
        for kind in kinds
    ]
    assert here == there


def test_drawing_neither_heeds_nor_changes_the_callers_settings(tmp_path: Path) -> None:
    results = save(points_table(SINGLE, tasks=("gsm8k",)), tmp_path / "results")
    (plain,) = (path.read_bytes() for path in draw(results, tmp_path / "a", ("png",))[:1])
    with matplotlib.rc_context({"lines.linewidth": 9, "axes.titlesize": 40, "font.size": 20}):
        before = dict(matplotlib.rcParams)
        styled = draw(results, tmp_path / "b", ("png",))[0].read_bytes()
        assert dict(matplotlib.rcParams) == before
    assert styled == plain


def test_several_models_get_files_of_their_own(tmp_path: Path) -> None:
    one = points_table(SINGLE, tasks=("gsm8k",))
    results = save(pd.concat([one, one.assign(model="./local/model-2b")]), tmp_path / "results")
    names = [path.name for path in draw(results, tmp_path / "plots", ("png",))]
    assert names == [
        *(f"{name}-local-model-2b.png" for name in FIGURES.names()),
        *(f"{name}-org-model-1b.png" for name in FIGURES.names()),
    ]


def test_manifest_gives_titles_and_sampling(tmp_path: Path) -> None:
    results = save(points_table(SINGLE, tasks=("gsm8k", "own")), tmp_path / "results")
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "config": {"temperature": 0.6, "top_p": 0.95, "top_k": 0, "min_p": 0.0, "seed": 3},
        "tasks": {"gsm8k": {"title": "GSM8K"}},
    }
    (results / "manifest.json").write_text(json.dumps(manifest))
    (data,) = load(results)
    assert data.titles == {"gsm8k": "GSM8K", "own": "own"}
    assert data.sampling == "temperature 0.6, top-p 0.95, seed 3"
    assert describe_sampling({"temperature": 0.0, "top_p": 0.9, "seed": 1}) == "greedy, seed 1"
    assert describe_sampling({}) == ""


@pytest.mark.parametrize(
    ("model", "name"), [("org/model", "org/model"), ("/home/me/model", "model"), ("./model", "model")]
)
def test_titles_name_no_paths(model: str, name: str) -> None:
    assert short_model(model) == name


def test_points_that_some_prompt_does_not_fit_are_in_no_figure(tmp_path: Path) -> None:
    points = points_table(SINGLE, tasks=("gsm8k",))
    points["prompts_fit"] = (points["length"] > 128).astype(float)
    (data,) = load(save(points, tmp_path / "results"))
    assert set(data.points["length"]) == {512, 2048}
    assert data.left_out == "Left out, as prompts fill L: L = 128 of gsm8k."
    for name in FIGURES.names():
        with matplotlib.rc_context():
            page = FIGURES.load(name)(data)
        assert data.left_out in " ".join(" ".join(text.get_text().split()) for text in page.texts)
    with pytest.raises(ValueError, match="no point at which every prompt fits L: sweep a larger L"):
        load(save(points.assign(prompts_fit=0.0), tmp_path / "none"))


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    points = points_table(SINGLE, tasks=("gsm8k",))
    with pytest.raises(ValueError, match="no results folder at"):
        draw(tmp_path / "nowhere", tmp_path)
    with pytest.raises(ValueError, match=r"holds no points\.parquet"):
        draw(tmp_path, tmp_path)
    with pytest.raises(ValueError, match="holds no points: let the sweep"):
        draw(save(points.iloc[:0], tmp_path / "empty"), tmp_path)
    with pytest.raises(ValueError, match="lacks the columns throughput"):
        draw(save(points.drop(columns="throughput"), tmp_path / "lacking"), tmp_path)
    results = save(points, tmp_path / "results")
    with pytest.raises(ValueError, match="unknown figure format gif"):
        draw(results, tmp_path, ("png", "gif"))
    with pytest.raises(ValueError, match="unknown figure format"):
        draw(results, tmp_path, ())
    (results / "points.parquet").write_bytes(b"no parquet")
    with pytest.raises(ValueError, match="cannot be read as parquet"):
        draw(results, tmp_path)
