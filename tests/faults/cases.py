"""Cases for the fuzz: what a user might type, and values of TOML; and what must come of them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from datetime import date, datetime, time
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from hyperscale.cli.main import run
from tests.extent import extent


def fuzz(cases: int) -> settings:
    """In the whole suite so many random cases, with a seed that is printed where one fails. In the quick one a tenth,
    the same each time: nobody's change fails there by luck.
    """
    return settings(
        max_examples=extent(cases // 10, cases),
        derandomize=extent(True, False),
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )


NASTY = [
    "", " ", ",", ",,", "a,,b", "-1", "0", "1", "007", "1.5", "1e999", "-1e999", "nan", "inf", "-inf", "1e-320", "1_0",
    "9" * 25, "9" * 5000, "0x10", "4k", "8K", "1kk", "1.5k", "99999999999t", "²", "٣", "é", "😀", "a\nb", "\x00", "\t",
    "\x7f", "../..", "/", "~", ".", "none", "null", "True", "--", "-", "=", "a=b", "a.b=c", "tova.sink_tokens=x",
    "tova.sink_tokens=4", "quest.page=", "{problem}", "%s", "{}", "[bold]", "x" * 5000, "\ud800",
]  # fmt: skip
TEXT = st.sampled_from(NASTY) | st.text(st.characters(codec="utf-8"), max_size=12)
MODEL = "no/such/model/here"
"""Neither a folder nor a name that a hub could have: nothing is fetched."""


class Case:
    """Folders of a test, made once for all its cases."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.toml, self.rows = root / "task.toml", root / "rows.jsonl"
        self.rows.write_text('{"q": "1+1?", "a": "2", "n": 1}\n{"q": "2+2?", "a": "4", "n": 2}\n')


def cases() -> Iterator[Case]:
    """A `Case` whose folder is the current one."""
    with TemporaryDirectory() as root, chdir(root):
        yield Case(Path(root))


def command(arguments: list[str]) -> tuple[int, str]:
    """Exit code and what stands on stderr; whatever is raised is a failure."""
    told = StringIO()
    with redirect_stdout(StringIO()), redirect_stderr(told):
        code = run(arguments)
    return code, told.getvalue()


def assert_taken_or_refused(code: int, told: str) -> None:
    assert code in (0, 2), told
    if code:
        assert told.startswith("error: "), told
        assert told.count("\n") == 1, told
        assert len(told) > len("error: \n")


def refused(error: ValueError) -> None:
    assert str(error)
    assert "\n" not in str(error), error


SCALAR = (
    TEXT
    | st.integers(-3, 10)
    | st.integers()
    | st.floats()
    | st.booleans()
    | st.just(date(2026, 1, 1))
    | st.just(datetime(2026, 1, 1))
    | st.just(time(1, 2))
)
VALUE = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner), max_leaves=4
)


def toml(value: Any) -> str:
    """A value as TOML; not every string can be one."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(inner)}" for key, inner in value.items()) + "}"
    return value.isoformat() if isinstance(value, date | time) else str(value)


def write(path: Path, fields: dict[str, Any]) -> None:
    text = "".join(f"{key} = {toml(value)}\n" for key, value in fields.items())
    path.write_text(text, encoding="utf-8", errors="replace")
