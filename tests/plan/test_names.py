"""Names are told before anything heavy is imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

from hyperscale.plan.names import check_names
from tests.test_config import make

MISTAKES = [
    ({"backends": ("tovaa",)}, "--backends: unknown backend 'tovaa'; did you mean 'tova'?"),
    ({"backends": ("./none.py",)}, "--backends: backend './none.py': say which of the file's names"),
    ({"engine": "vlm"}, "--engine: unknown engine 'vlm'; did you mean 'vllm'?"),
    ({"engine": "torhc"}, "--engine: unknown engine 'torhc'; did you mean 'torch'?"),
    ({"tasks": ("cuntdown",)}, "no task 'cuntdown', did you mean 'countdown'?"),
]


@pytest.mark.parametrize(("fields", "message"), MISTAKES)
def test_a_typo_is_told(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError) as told:
        check_names(make(**{"tasks": ("trace",), **fields}))
    assert message in str(told.value)


def test_names_that_are_right_pass() -> None:
    check_names(make(tasks=("trace", "countdown"), backends=("vanilla", "dms"), engine="torch"))


def test_a_typo_waits_for_no_heavy_import() -> None:
    code = (
        "import sys\nfrom hyperscale.cli.main import run\n"
        "assert run(['sweep', '--backends', 'tovaa', '--cr', '4']) == 2\n"
        "print([name for name in ('torch', 'numba', 'scipy', 'pandas', 'transformers') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
