from __future__ import annotations

import json
from pathlib import Path

import pytest

from hyperscale.figures.data import load
from hyperscale.results.manifest import check_identity
from hyperscale.results.schema import SCHEMA_VERSION
from hyperscale.results.store import Store
from tests.fakes import write_task
from tests.faults.command import swept
from tests.results.places import stored

IDENTITY = {"model": "tiny", "sampling": {"temperature": 0.6, "top_p": 0.95}, "grid": [[1, 64], [2, 32]]}


def test_a_manifest_comes_back(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        assert store.read_manifest() is None
        store.write_manifest({"identity": IDENTITY, "packages": {"torch": "2.9"}, "name": "größer"})
        assert store.read_manifest() == {"identity": IDENTITY, "packages": {"torch": "2.9"}, "name": "größer"}
    assert json.loads((tmp_path / "manifest.json").read_text())["schema_version"] == SCHEMA_VERSION


def test_what_is_no_json_is_refused_and_the_old_manifest_stays(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.write_manifest({"identity": IDENTITY})
        for bad in ({"path": tmp_path}, {"loss": float("nan")}):
            with pytest.raises((TypeError, ValueError)):
                store.write_manifest(bad)
        assert store.read_manifest() == {"identity": IDENTITY}
        assert not list(tmp_path.glob(".*.tmp"))


@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, SCHEMA_VERSION - 1, None, str(SCHEMA_VERSION), True])
def test_another_schema_version_is_refused_and_left_alone(tmp_path: Path, version: object) -> None:
    folder, task = tmp_path / "out", write_task(tmp_path, problems=2)
    assert swept(folder, task).code == 0
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": version}))
    (folder / "samples" / ".half.tmp").write_bytes(b"")
    before = stored(folder)
    line = f"{folder} holds results of schema version {version}; this hyperscale reads version {SCHEMA_VERSION}: use"
    ended = swept(folder, task)
    assert ended.code == 2
    assert line in ended.error
    with pytest.raises(ValueError, match=line):
        load(folder)
    assert stored(folder) == before


def test_the_same_identity_passes_whatever_its_spelling() -> None:
    check_identity(IDENTITY, IDENTITY)
    check_identity(IDENTITY, {"grid": ((1, 64), (2, 32)), **dict(reversed(IDENTITY.items()))})


def test_a_different_identity_is_refused_with_every_difference() -> None:
    new = {"model": "tiny", "sampling": {"temperature": 0.7, "top_p": 0.95, "top_k": 20}, "grid": [[1, 64]]}
    with pytest.raises(ValueError) as caught:
        check_identity(IDENTITY, new)
    lines = str(caught.value).splitlines()
    assert lines[1:-1] == [
        "  grid: [[1, 64], [2, 32]] -> [[1, 64]]",
        "  sampling.temperature: 0.6 -> 0.7",
        "  sampling.top_k: (absent) -> 20",
    ]
    assert "--output-dir" in lines[-1]


@pytest.mark.parametrize(("old", "new"), [({"a": None}, {}), ({"a": {}}, {"a": {"b": 1}}), ({"a": 1}, {"a": "1"})])
def test_close_identities_are_told_apart(old: dict, new: dict) -> None:
    with pytest.raises(ValueError, match="a"):
        check_identity(old, new)
