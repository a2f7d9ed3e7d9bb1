"""The examples of docs/extend.md, as a user would run them: from files, and as an installed package."""

from __future__ import annotations

import hashlib
import json
import pickle
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from itertools import product
from pathlib import Path
from textwrap import dedent
from typing import Any

import pandas as pd
import pytest

from hyperscale.backends import backend_class
from hyperscale.cli.main import run
from hyperscale.engines import engine_names
from hyperscale.grading import load_grader
from hyperscale.plan.runs import make_run
from hyperscale.tasks.load import load_problems, load_task

DOC = (Path(__file__).resolve().parents[1] / "docs" / "extend.md").read_text(encoding="utf-8")
_BLOCK = re.compile(r"^( *)```\w+ ?(\S*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
EXAMPLES = {name: dedent(text) for _, name, text in _BLOCK.findall(DOC) if name}

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


def write_examples(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_text(EXAMPLES[name], encoding="utf-8")


def sweep(*more: str, code: int = 0) -> None:
    """The sweep of the recipe, on the CPU, into OUT of the working folder; later flags win."""
    grid = ("--limit", "2", "--widths", "1,2", "--lengths", "64,128")
    given = ("--model", "tiny", "--tasks", "countdown", *grid, "--device", "cpu", "--output-dir", "OUT")
    assert run(["sweep", *given, *more]) == code


def manifest(folder: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return read


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder outside the checkout, with the backend's file."""
    write_examples(tmp_path, "stream.py")
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


def test_recipes_are_short() -> None:
    sections = dict(re.findall(r"^## (Add a \w+)\n(.*?)(?=^## )", DOC, re.MULTILINE | re.DOTALL))
    assert list(sections) == ["Add a task", "Add a backend", "Add a figure"]
    for text in sections.values():
        assert 2 <= len(re.findall(r"^\d\. ", text, re.MULTILINE)) <= 6
    assert len(_BLOCK.sub("", DOC).split()) <= 550


class TestTask:
    def test_a_prompt_is_shown(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_examples(tmp_path, "capitals.toml", "capitals.jsonl")
        monkeypatch.chdir(tmp_path)
        assert run(["tasks", "./capitals.toml"]) == 0
        shown = capsys.readouterr().out
        assert "What is the capital of France? End with" in shown
        assert "answer: Paris" in shown

    def test_its_answers_are_graded(self, tmp_path: Path) -> None:
        write_examples(tmp_path, "capitals.toml", "capitals.jsonl")
        task = load_task(str(tmp_path / "capitals.toml"))
        grader = load_grader(task.grader_ref)
        golds = [grader.gold(problem.gold) for problem in load_problems(task).problems]
        found = grader.extract("Lyon? No. The capital is Paris.", finished=True)
        assert [grader.right(gold, found) for gold in golds] == [True, False, False]


class TestBackendInAFile:
    """`--backends vanilla,./stream.py:StreamingLLM`."""

    @pytest.mark.slow
    def test_its_own_test_passes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_examples(tmp_path, "stream.py", "test_stream.py")
        monkeypatch.syspath_prepend(str(tmp_path))
        try:
            import_module("test_stream").test_streaming()
        finally:
            for name in ("stream", "test_stream"):
                sys.modules.pop(name, None)

    def test_a_sweep_is_resumed_and_an_edit_is_refused(self, work: Path, capsys: pytest.CaptureFixture[str]) -> None:
        given = ("--backends", "vanilla,./stream.py:StreamingLLM", "--cr", "2")
        sweep(*given)
        assert "\n12 samples, " in capsys.readouterr().out
        points = pd.read_parquet(work / "OUT" / "points.parquet")
        found = points[points["backend"] == "streaming"]
        assert set(points["backend"]) == {"vanilla", "streaming"}
        assert set(zip(found["width"], found["length"], strict=True)) == set(product((1, 2), (64, 128)))
        assert (found["realised_ratio"] > 1).any()
        file = work / "stream.py"
        old = hashlib.sha256(file.read_bytes()).hexdigest()
        origin = {"name": "stream.py:StreamingLLM", "package": None, "version": None, "sha256": old}
        assert manifest(work / "OUT")["backends"] == {"vanilla": {}, "streaming": {"plugin": origin}}

        sweep(*given)
        assert "\n0 samples, 0 tokens generated" in capsys.readouterr().out
        file.write_text(file.read_text().replace("four sinks", "4 sinks"))
        new = hashlib.sha256(file.read_bytes()).hexdigest()
        capsys.readouterr()
        sweep(*given, code=2)
        assert f'backends.streaming.plugin.sha256: "{old}" -> "{new}"' in capsys.readouterr().err
        sweep("--backends", "vanilla")
        assert manifest(work / "OUT")["backends"].keys() == {"vanilla", "streaming"}

    def test_it_is_shown_with_its_settings(self, work: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["backends", "./stream.py:StreamingLLM"]) == 0
        shown = capsys.readouterr().out
        assert "attention sinks and the most recent tokens" in shown
        assert "--backend-option streaming.sink_tokens=4\n" in shown

    def test_a_worker_takes_a_run_in_another_folder_but_not_with_another_file(
        self, work: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = make_run("./stream.py:StreamingLLM", None, 32, (64, 64), ((1, 64), (2, 64)))
        sent = pickle.dumps(run)
        (work / "elsewhere").mkdir()
        monkeypatch.chdir(work / "elsewhere")
        assert pickle.loads(sent) == run
        assert pickle.loads(sent).origin == run.origin
        file = work / "stream.py"
        file.write_text(file.read_text().replace("four sinks", "4 sinks"))
        with pytest.raises(
            ValueError, match=r"backend '/.*/stream.py:StreamingLLM' is .* here, but .* was planned with"
        ):
            pickle.loads(sent)

    @pytest.mark.slow
    def test_a_setting_is_part_of_the_experiment(self, work: Path, capsys: pytest.CaptureFixture[str]) -> None:
        given = ("--backends", "./stream.py:StreamingLLM", "--cr", "2")
        sweep(*given, "--backend-option", "streaming.sink_tokens=8")
        assert manifest(work / "OUT")["backends"]["streaming"]["sink_tokens"] == 8
        capsys.readouterr()
        sweep(*given, code=2)
        assert "backends.streaming.sink_tokens: 8 -> (absent)" in capsys.readouterr().err


WRONG = """
from dataclasses import dataclass

from hyperscale.backends.base import Backend
from hyperscale.backends.bounded import Bounded

class Thing: ...

class Half(Backend):
    name, frees = "half", "nothing"

class Tova(Bounded):
    name, frees = "tova", "nothing"

class Dotted(Bounded):
    name, frees = "my.own", "nothing"

class Nameless(Bounded):
    frees = "nothing"

@dataclass(frozen=True)
class Needy:
    size: int

class Demanding(Bounded):
    name, frees, Settings = "demanding", "nothing", Needy
"""


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["tova,./stream.py:Nope"], "./stream.py:Nope' cannot be loaded: stream.py defines no 'Nope'"),
        (["tova,./stream.py"], "say which of the file's names, as in ./stream.py:NAME"),
        (["./steam.py:StreamingLLM"], "there is no file steam.py"),
        (["./boom.py:Any"], "'./boom.py:Any' cannot be loaded: RuntimeError: two lines"),
        (["wrong.py:Thing"], "expected a subclass of hyperscale.backends.base.Backend"),
        (["wrong.py:Half"], "Half lacks decode and prefill"),
        (["wrong.py:Tova"], "Tova.name is 'tova', which is a built-in backend: choose another name"),
        (["wrong.py:Dotted"], "Dotted.name is 'my.own': use letters, digits, - and _"),
        (["wrong.py:Nameless"], "Nameless has no `name`"),
        (["wrong.py:Demanding"], "Demanding.Settings must be a frozen dataclass, each field with a default"),
        (["./stream.py:StreamingLLM,stream.py:StreamingLLM"], "--backends names streaming twice"),
        (["stream.py:StreamingLLM", "--backend-option", "streming.sink_tokens=8"], "did you mean 'streaming'?"),
        (["stream.py:StreamingLLM", "--backend-option", "streaming.sinks=8"], "did you mean 'sink_tokens'?"),
    ],
)
def test_a_wrong_backend_is_refused_in_one_line(
    work: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    (work / "wrong.py").write_text(WRONG)
    (work / "boom.py").write_text("raise RuntimeError('two\\nlines')\n")
    sweep("--cr", "2", "--backends", *more, code=2)
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: --backend")
    assert message in line
    assert not (work / "OUT").exists()


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
        assert drawn == {"frontiers", "pareto", "grid", "ratios"}

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
