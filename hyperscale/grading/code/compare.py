"""Compare outputs by LiveCodeBench's rules."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation


def same_output(produced: str, expected: str) -> bool:
    """Compare line by line, without blanks around lines and around the whole; a line's words may be equal as numbers.

    Numbers are exact decimals: 1.0 is 1, and nothing is rounded. Words are compared with their case.
    """
    ours, theirs = _lines(produced), _lines(expected)
    return len(ours) == len(theirs) and all(
        mine == wanted or _same_numbers(mine, wanted) for mine, wanted in zip(ours, theirs, strict=True)
    )


def same_value(produced: object, expected: object) -> bool:
    """Compare by Python's equality; False where it cannot be decided (deeper than the stack)."""
    try:
        return bool(produced == expected)
    except RecursionError:
        return False


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().split("\n")]


def _same_numbers(mine: str, wanted: str) -> bool:
    try:
        return [Decimal(word) for word in mine.split()] == [Decimal(word) for word in wanted.split()]
    except InvalidOperation:
        return False
