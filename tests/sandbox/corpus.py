"""Programs of tests/hostile and tests/odd, with what their first lines say of them."""

from __future__ import annotations

import ast
import re
import shutil
from pathlib import Path
from typing import NamedTuple

from hyperscale.grading.code import Cases, Check
from tests.extent import extent

_HEADER = re.compile(rb"^\xef?\xbb?\xbf?# (what|kind|verdict|ends|input|output|needs): (.*?)\r?$", re.MULTILINE)
_FOLDER = Path(__file__).resolve().parents[1]

SUM = Cases(public='[{"input": "40 2\\n", "output": "42\\n"}]', private="[]")
CALL = Cases(
    public='[{"input": "40\\n2", "output": "42"}, {"input": "-1\\n1", "output": "0"}]', private="[]", function="add"
)
CHECK = Check(
    prompt='def add(a, b):\n    """The sum of two integers."""\n',
    test="def check(candidate):\n    assert candidate(40, 2) == 42\n    assert candidate(-1, 1) == 0\n",
    function="add",
)
GOLD: dict[str, Cases | Check] = {"stdin": SUM, "functional": CALL, "humaneval": CHECK}


class Entry(NamedTuple):
    """A program of a corpus."""

    name: str
    source: bytes
    facts: dict[str, str]


def read(folder: str) -> list[Entry]:
    """Every program of a corpus, by name."""
    return [_entry(path) for path in sorted((_FOLDER / folder).glob("*.py"))]


def _entry(path: Path) -> Entry:
    source = path.read_bytes()
    head = b"\n".join(source.split(b"\n")[:8])
    facts = {name.decode(): value.decode("utf-8", "replace") for name, value in _HEADER.findall(head)}
    assert "what" in facts, f"{path} does not say what it is"
    return Entry(path.stem, source, facts)


def text(facts: dict[str, str], name: str, default: str) -> str:
    """A text that a header states as Python does."""
    return str(ast.literal_eval(facts[name])) if name in facts else default


PROGRAMS = {entry.name: entry for entry in read("hostile")}
OTHER = extent(30, len(PROGRAMS))


def chosen(sandbox: str) -> list[str]:
    """Hostile programs to run in a sandbox: all in the one that `--sandbox auto` takes here, some in the other."""
    best = "bubblewrap" if shutil.which("bwrap") else "namespaces"
    return list(PROGRAMS)[:: 1 if sandbox == best else -(-len(PROGRAMS) // OTHER)]
