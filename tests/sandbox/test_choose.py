"""Which sandbox a machine gives, and that without one nothing is run unasked."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hyperscale.cli.main import run
from hyperscale.grading.code import official, strict
from hyperscale.sandbox import Limits, Program, choose, open_sandbox
from hyperscale.sandbox.bare import delete
from tests import namespaces
from tests.sandbox.corpus import CALL, CHECK

pytestmark = namespaces.needed

RIGHT = "class Solution:\n    def add(self, a, b):\n        return a + b\n\n\ndef add(a, b):\n    return a + b\n"
ROW = {
    "task_id": "x", "prompt": "def f():\n", "test": "def check(candidate):\n    assert candidate() == 1\n",
    "entry_point": "f",
}  # fmt: skip


@pytest.fixture
def without(monkeypatch):
    """A machine on which no sandbox works."""

    def refuse(_: object) -> None:
        raise ValueError("not here")

    monkeypatch.setattr(choose, "SANDBOXES", {"bubblewrap": refuse, "namespaces": refuse})


def test_the_best_that_works_is_taken(monkeypatch):
    with_bwrap = "bubblewrap" if shutil.which("bwrap") else "namespaces"
    first = open_sandbox()
    assert first.name == with_bwrap
    first.close()
    monkeypatch.setenv("PATH", "/nowhere")
    second = open_sandbox()
    assert second.name == "namespaces"
    second.close()
    with pytest.raises(ValueError, match="bwrap is not installed: install bubblewrap"):
        open_sandbox("bubblewrap")


def test_without_one_nothing_runs_unless_that_is_confirmed(without):
    with pytest.raises(ValueError, match=r"no sandbox .*not here.*--confirm-run-unsafe-code"):
        open_sandbox()
    bare = open_sandbox(confirm_unsafe=True)
    assert (bare.name, bare.isolates) == ("none", False)
    assert bare.run(Program.script("print(sum(map(int, input().split())))"), Limits(), b"40 2").stdout == b"42\n"
    ended = bare.run(Program.script("while True: pass"), Limits(cpu_seconds=1, wall_seconds=60))
    assert ended.why == "cpu"
    for gold in (CALL, CHECK):
        assert strict.judge(bare, RIGHT, gold).passed
        assert official.judge(bare, RIGHT, gold).passed
        assert not strict.judge(bare, RIGHT.replace("+", "-"), gold).passed
    bare.close()


def test_a_confirmed_run_leaves_no_folder_whatever_is_in_it(without, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    bare = open_sandbox(confirm_unsafe=True)
    trap = """
import os
os.makedirs('a/b'); open('a/b/c', 'w').close(); os.symlink('/etc', 'a/link'); os.mkfifo('fifo')
os.chmod('a/b', 0); os.chmod('a', 0)
for _ in range(1000):
    os.mkdir('deep'); os.chdir('deep')
"""
    assert bare.run(Program.script(trap), Limits()).well
    assert list(tmp_path.iterdir()) == []
    bare.close()


def test_deleting_follows_no_links(tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir(mode=0o755)
    (kept / "file").write_text("x")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(kept)
    delete(folder)
    assert not folder.exists()
    assert (kept / "file").read_text() == "x"
    assert kept.stat().st_mode & 0o777 == 0o755


def test_the_command_line_refuses_before_a_folder_is_made(without, tmp_path, capsys):
    (tmp_path / "test.jsonl").write_text(json.dumps(ROW))
    arguments = ["sweep", "--model", "tiny", "--tasks", "humaneval", "--data", str(tmp_path), "--backends", "vanilla"]
    arguments += ["--widths", "1", "--lengths", "64", "-o", str(tmp_path / "out")]
    assert run(arguments) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert "--confirm-run-unsafe-code" in line
    assert not (tmp_path / "out").exists()


def test_a_machine_without_user_namespaces_says_so():
    """As an ordinary user whose limit on namespaces is 0 finds it."""
    source = "from hyperscale.sandbox import open_sandbox; open_sandbox()"
    limited = ["unshare", "--user", "--map-root-user", "sh", "-c"]
    command = f"echo 0 > /proc/sys/user/max_user_namespaces && exec {sys.executable} -c '{source}'"
    done = subprocess.run([*limited, command], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    if "unshare" in done.stderr.partition(":")[0]:
        pytest.skip("this machine gives no user namespace to try it in")
    assert done.returncode == 1
    assert "ValueError: no sandbox works on this machine for programs that a model wrote" in done.stderr
