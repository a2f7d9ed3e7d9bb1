"""The examples of docs/extend.md, as a user would run them from files."""

from __future__ import annotations

import hashlib
import pickle
import re
import sys
from importlib import import_module
from itertools import product
from pathlib import Path

import pandas as pd
import pytest

from hyperscale.cli.main import run
from hyperscale.grading import load_grader
from hyperscale.plan.runs import make_run
from hyperscale.tasks.load import load_problems, load_task
from tests.examples import BLOCK, DOC, manifest, sweep, write_examples


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder outside the checkout, with the backend's file."""
    write_examples(tmp_path, "stream.py")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_recipes_are_short() -> None:
    sections = dict(re.findall(r"^## (Add a \w+)\n(.*?)(?=^## )", DOC, re.MULTILINE | re.DOTALL))
    assert list(sections) == ["Add a task", "Add a backend", "Add a figure"]
    for text in sections.values():
        assert 2 <= len(re.findall(r"^\d\. ", text, re.MULTILINE)) <= 6
    assert len(BLOCK.sub("", DOC).split()) <= 550


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
