from __future__ import annotations

from typing import Any

import pytest

from hyperscale.plan.resolve import resolve
from tests.test_config import make


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"backends": ("vanila",)}, "^--backends: unknown backend 'vanila'; did you mean 'vanilla'\\?$"),
        ({"backends": ("TOVA",)}, "did you mean 'tova'"),
        ({"compression_ratios": (4,)}, "vanilla keeps every token"),
        ({"backends": ("tova",)}, "^--backends tova: say how much to compress with --cr"),
    ],
)
def test_backends_that_cannot_be_planned_are_told_in_one_line(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resolve(make(**fields))
