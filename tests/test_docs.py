"""Numbers in the docs are those of the reference run's parquet files."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = ("README.md", "docs/tiny.md")


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("write_docs", ROOT / "scripts" / "write_docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # Where dataclasses look their own up.
    spec.loader.exec_module(module)
    return module


def arguments(*documents: Path) -> list[str]:
    return [str(path) for path in (ROOT / "results" / "tiny", ROOT / "results" / "tiny-immediate", *documents)]


def test_no_document_is_stale_and_none_has_a_number_of_another_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = load()
    assert module.main([*arguments(*(ROOT / name for name in DOCUMENTS)), "--check"]) == 0, "run `make docs`"
    for name in DOCUMENTS:
        assert len(module.BLOCK.findall((ROOT / name).read_text())) >= 1
    other = tmp_path / "other.md"
    other.write_text("a\n<!-- numbers: size -->\nof old\n<!-- end -->\nb\n")
    assert module.main([*arguments(other), "--check"]) == 1
    assert "other.md: run `make docs`" in capsys.readouterr().err
    assert module.main(arguments(other)) == 0
    assert "of old" not in other.read_text()
    assert other.read_text().startswith("a\n<!-- numbers: size -->\nThe reference run: ")
    other.write_text("<!-- numbers: none -->\n<!-- end -->\n")
    with pytest.raises(ValueError, match="no numbers 'none'"):
        module.main(arguments(other))
