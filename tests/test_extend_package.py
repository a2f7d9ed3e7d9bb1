"""The examples of docs/extend.md as an installed package, and plugins of packages that are broken."""

from __future__ import annotations

import hashlib
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from hyperscale.backends import backend_class
from hyperscale.cli.main import run
from hyperscale.engines import engine_names
from hyperscale.grading import load_grader
from tests.examples import EXAMPLES, manifest, sweep, write_examples

GRADE = '''
from hyperscale.grading import NOTHING, Extraction, Grader

class LastWord(Grader):
    """The last word, in any case; a comparison of its own runs in the workers."""

    name = "last_word"
    compares = True

    def extract(self, text, *, finished):
        words = text.split()
        return Extraction(words[-1], words[-1]) if finished and words else NOTHING

    def normal(self, answer):
        return answer.strip() or None

    def equal(self, gold, answer):
        return gold.lower() == answer.lower()
'''
ENGINE = '''
from tests.fakes import FakeEngine

class Canned(FakeEngine):
    """Plays chains."""

    def __init__(self, config, text):
        super().__init__(config.seed)

    @staticmethod
    def check(config):
        if config.seed == 13:
            raise ValueError("canned: no chains of seed 13")

    def identity(self):
        return {"resolved_dtype": "float32", "weights_sha": "played", "gates": None}
'''


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder outside the checkout."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages, with the package of the recipe as pip would leave it."""
    folder = tmp_path / "site"
    package = folder / "my_hyperscale"
    package.mkdir(parents=True)
    write_examples(folder, "my_hyperscale/__init__.py")
    write_examples(package, "stream.py", "ratios.py", "capitals.toml", "capitals.jsonl")
    (package / "grade.py").write_text(GRADE)
    (package / "engine.py").write_text(ENGINE)
    project = tomllib.loads(EXAMPLES["pyproject.toml"])["project"]
    install(folder, project["name"], project["version"], project["entry-points"])
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_hyperscale"]:
        del sys.modules[name]


def install(site: Path, name: str, version: str, groups: dict[str, dict[str, str]]) -> None:
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    sections = [
        "\n".join([f"[{group}]", *(f"{name} = {target}" for name, target in entries.items())])
        for group, entries in groups.items()
    ]
    (info / "entry_points.txt").write_text("\n".join(sections))


@pytest.mark.usefixtures("site")
class TestPackage:
    """The same by entry points."""

    def test_everything_is_found_by_name(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert "canned" in engine_names()
        assert run(["backends"]) == 0
        assert re.search(r"^streaming +B = L / CR", capsys.readouterr().out, re.MULTILINE)
        assert run(["backends", "streaming"]) == 0
        assert "--backend-option streaming.sink_tokens=4\n" in capsys.readouterr().out
        assert run(["tasks"]) == 0
        assert re.search(r"^capitals +Capitals +own: capitals.jsonl", capsys.readouterr().out, re.MULTILINE)
        assert run(["tasks", "capitals"]) == 0
        assert "What is the capital of France?" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("flags", "message"),
        [
            (["--backends", "streeming", "--cr", "2"], "did you mean 'streaming'?"),
            (["--tasks", "capital"], "did you mean 'capitals'?"),
            (["--engine", "caned"], "did you mean 'canned'?"),
            (["--engine", "toch"], "did you mean 'torch'?"),
            (["--engine", "canned", "--seed", "13"], "canned: no chains of seed 13"),
        ],
    )
    @pytest.mark.usefixtures("work")
    def test_what_was_perhaps_meant(self, capsys: pytest.CaptureFixture[str], flags: list[str], message: str) -> None:
        sweep("--backends", "vanilla", *flags, code=2)
        *_, line = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ")
        assert message in line

    def test_a_broken_plugin_fails_when_it_is_asked_for(
        self, site: Path, work: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (site / "sad.py").write_text("raise RuntimeError('no luck')\n")
        groups = ("hyperscale.backends", "hyperscale.tasks", "hyperscale.graders", "hyperscale.engines")
        install(
            site, "sadness", "1", {group: {"sad": "sad:Sad"} for group in groups}
            | {"hyperscale.backends": {"sad": "sad:Sad", "other": "my_hyperscale.stream:StreamingLLM"}},
        )  # fmt: skip
        for command in ("backends", "tasks"):
            assert run([command]) == 0
            listed = " ".join(capsys.readouterr().out.split())
            assert "no luck" in listed
            assert {"backends": "streaming", "tasks": "capitals"}[command] in listed
        for flags, kind in (
            (["--backends", "sad", "--cr", "2"], "backend"),
            (["--tasks", "sad"], "task"),
            (["--engine", "sad"], "engine"),
        ):
            sweep("--backends", "vanilla", *flags, code=2)
            [line] = capsys.readouterr().err.splitlines()
            assert f"{kind} 'sad' of the package sadness cannot be loaded: RuntimeError: no luck" in line
        with pytest.raises(ValueError, match="grader 'sad' of the package sadness cannot be loaded"):
            load_grader("sad")
        with pytest.raises(ValueError, match="'other': its class is named 'streaming'; give the entry point that name"):
            backend_class("other")

    @pytest.mark.slow
    def test_backend_and_task_are_swept(self, site: Path, work: Path) -> None:
        sweep("--tasks", "countdown,capitals", "--backends", "vanilla,streaming", "--cr", "2")
        points = pd.read_parquet(work / "OUT" / "points.parquet")
        pairs = set(zip(points["task"], points["backend"], strict=True))
        assert pairs == {(task, of) for task in ("countdown", "capitals") for of in ("vanilla", "streaming")}
        digest = hashlib.sha256((site / "my_hyperscale" / "stream.py").read_bytes()).hexdigest()
        origin = {"name": "streaming", "package": "my-hyperscale", "version": "0.1", "sha256": digest}
        assert manifest(work / "OUT")["backends"]["streaming"] == {"plugin": origin}
        assert run(["figures", "OUT", "--formats", "png"]) == 0
        drawn = {path.stem for path in (work / "OUT" / "plots").iterdir()}
        assert drawn == {"frontiers", "pareto", "grid", "gains", "ratios"}

    def test_engine_grader_and_figure_work_together(
        self, site: Path, work: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_examples(work, "capitals.jsonl", "ratios.py")
        regex = EXAMPLES["capitals.toml"].replace('"regex"', '"last_word"')
        (work / "capitals.toml").write_text(re.sub(r"grader_pattern.*\n", "", regex))
        given = ("--tasks", "./capitals.toml,countdown", "--engine", "canned", "--backends", "vanilla")
        sweep(*given)
        kept = manifest(work / "OUT")
        files = {name: (site / "my_hyperscale" / f"{name}.py").read_bytes() for name in ("engine", "grade")}
        shared = {"package": "my-hyperscale", "version": "0.1"}
        digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        assert kept["identity"]["config"]["engine"] == {"name": "canned", **shared, "sha256": digests["engine"]}
        identity = kept["tasks"]["capitals"]["identity"]
        assert identity["grader"] == "last_word"
        assert identity["grader_origin"] == {"name": "last_word", **shared, "sha256": digests["grade"]}
        assert kept["identity"]["model"]["weights_sha"] == "played"
        capsys.readouterr()
        sweep(*given)
        assert "\n0 samples, 0 tokens generated" in capsys.readouterr().out

        assert run(["figures", "OUT", "--formats", "png", "--figures", "ratios,./ratios.py:draw"]) == 0
        drawn = work / "OUT" / "plots"
        assert {path.name for path in drawn.iterdir()} == {"ratios.png", "ratios-draw.png"}
        assert (drawn / "ratios.png").read_bytes() == (drawn / "ratios-draw.png").read_bytes()
