"""Parse and format a user's text: sizes (`64k` tokens, `2GiB`), times, lists, refused values."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_BINARY = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_DECIMAL = {"kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_BYTES = {
    **_BINARY,
    "b": 1,
    **_DECIMAL,
    **{f"{letter}ib": size for letter, size in _BINARY.items() if letter},
}
_TOKENS = {unit: _BINARY[unit] for unit in ("", "k", "m")}


def parse_tokens(text: str | int) -> int:
    """Parse `8192`, `8k` (8 x 1024) or `1m` tokens, in either case; ValueError on anything else."""
    return _parse(str(text), _TOKENS, "tokens: write 8192, 8k or 1m")


def parse_bytes(text: str | int) -> int:
    """Parse bytes: `2GiB`, `8g` (a bare letter is binary), `500MB` (decimal) or a count; else ValueError."""
    return _parse(str(text), _BYTES, "bytes: write 2GiB, 500MB, 8g or a plain count")


def parse_list(text: str) -> tuple[str, ...]:
    """Split a comma list and drop blanks around entries; ValueError on an empty entry."""
    entries = tuple(entry.strip() for entry in text.split(","))
    if not all(entries):
        raise ValueError(f"{text!r} has an empty entry: separate entries by single commas")
    return entries


def format_tokens(tokens: int) -> str:
    """Format 65536 as `64k`, 2**20 as `1m`, 1500, which no unit divides, as `1,500`."""
    for unit in ("m", "k"):
        if tokens and tokens % _TOKENS[unit] == 0:
            return f"{tokens // _TOKENS[unit]}{unit}"
    return f"{tokens:,}"


def format_bytes(count: float) -> str:
    """Format bytes in the largest binary unit: `1.5 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.3g} {unit}" if unit != "B" else f"{count:.0f} B"
        count /= 1024
    return f"{count:,.4g} TiB"


def format_time(seconds: float) -> str:
    """Format seconds as `40 s`, `12 min` or `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _parse(text: str, units: dict[str, int], meant: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip().lower().replace("_", ""))
    if match is None or match[2] not in units:
        raise ValueError(f"{text!r} is not a size in {meant}")
    size = Fraction(match[1]) * units[match[2]]
    if size.denominator != 1:
        raise ValueError(f"{text!r} is not a whole number of {meant}")
    return int(size)


_WORDS = {
    "bool_parsing": "must be true or false",
    "extra_forbidden": "is not a known setting",
    "finite_number": "must be a finite number",
    "float_parsing": "must be a number",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "has too many digits",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
}


def wording(detail: ErrorDetails) -> str:
    """Word pydantic's error on a value for the user."""
    words = _WORDS.get(detail["type"])
    return detail["msg"].removeprefix("Value error, ") if words is None else words.format(**detail.get("ctx", {}))
