"""The package that third parties import in their own suites."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import hyperscale.testing


def test_checks_are_exported_and_imported_when_first_used() -> None:
    code = "import sys, hyperscale.testing; assert 'torch' not in sys.modules; hyperscale.testing.check_backend"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_an_unknown_check_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="check_weather"):
        hyperscale.testing.check_weather  # noqa: B018


def test_it_imports_nothing_that_is_not_shipped() -> None:
    for path in Path(hyperscale.testing.__file__).parent.glob("*.py"):
        imports = [
            node.module or "" for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)
        ]
        assert not [name for name in imports if name.split(".")[0] in ("tests", "pytest", "hypothesis")]
