"""Tests of a program, as a task's gold answer (JSON, private tests packed as in their dataset), and equal outputs."""

from __future__ import annotations

import base64
import binascii
import io
import json
import pickle
import zlib
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Annotated, Literal, NamedTuple, NoReturn

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

_MOST_BYTES = 2 << 30
_PROBE = 4096


class Cases(BaseModel, frozen=True, extra="forbid"):
    """Tests in LiveCodeBench's form: text in, text out; with a function's name, lines of JSON in and JSON out."""

    kind: Literal["cases"] = "cases"
    public: str
    private: str
    function: str | None = None


class Check(BaseModel, frozen=True, extra="forbid"):
    """A test in HumanEval's form: `test` defines check(candidate), and may use what `prompt` defines."""

    kind: Literal["check"] = "check"
    prompt: str
    test: str
    function: str


Gold = Annotated[Cases | Check, Field(discriminator="kind")]
_GOLD: TypeAdapter[Cases | Check] = TypeAdapter(Gold)


class Case(NamedTuple):
    """One test."""

    given: str
    expected: str


@lru_cache(maxsize=8)
def parse_gold(gold: str) -> Cases | Check:
    """Parse a gold answer to tests; ValueError where it holds none."""
    try:
        return _GOLD.validate_json(gold)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"no tests for a program: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def check_gold(gold: str) -> None:
    """Check that a gold answer holds tests, and that its private ones begin as a pickle: ValueError.

    Unpacking all of them before a sweep would take minutes for LiveCodeBench's gigabytes.
    """
    tests = parse_gold(gold)
    if isinstance(tests, Check) or tests.private.lstrip()[:1] in ("", "["):
        return
    try:
        begin = zlib.decompressobj().decompress(base64.b64decode(tests.private[:_PROBE]), _PROBE)
    except (ValueError, zlib.error) as error:
        raise ValueError(f"private tests cannot be read: {error}") from None
    if not begin.startswith(pickle.PROTO):
        raise ValueError("private tests cannot be read: not a pickle")


@lru_cache(maxsize=8)
def cases_of(cases: Cases) -> tuple[Case, ...]:
    """Read public and private tests, in this order; ValueError where they cannot be read, or there are none."""
    found = tuple(
        _case(entry) for name in ("public", "private") for entry in _entries(getattr(cases, name), f"{name} tests")
    )
    if not found:
        raise ValueError("a problem has no tests")
    return found


def _entries(text: str, what: str) -> list[object]:
    """Read a list: JSON, empty, or packed as by LiveCodeBench (base64 of zlib of a pickled string of JSON)."""
    if not text.strip():
        return []
    try:
        entries = json.loads(text) if text.lstrip().startswith("[") else json.loads(_unpack(text))
    except (ValueError, binascii.Error, zlib.error, pickle.UnpicklingError, EOFError) as error:
        raise ValueError(f"{what} cannot be read: {error}") from None
    if not isinstance(entries, list):
        raise ValueError(f"{what} are not a list")
    return entries


def _unpack(text: str) -> str:
    inflate = zlib.decompressobj()
    content = inflate.decompress(base64.b64decode(text, validate=True), _MOST_BYTES)
    if inflate.unconsumed_tail:
        raise ValueError(f"more than {_MOST_BYTES:,} bytes")
    packed = _PlainUnpickler(io.BytesIO(content)).load()
    if not isinstance(packed, str):
        raise ValueError(f"a pickled {type(packed).__name__}, not a string")
    return packed


class _PlainUnpickler(pickle.Unpickler):
    """Unpickler of strings, numbers and containers; it refuses every name, so that no code ever runs."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"it names {module}.{name}")

    def persistent_load(self, pid: object) -> NoReturn:
        raise pickle.UnpicklingError("it refers to something outside")


def _case(entry: object) -> Case:
    if not isinstance(entry, dict) or not isinstance(entry.get("input"), str) or "output" not in entry:
        raise ValueError(f"a test is not an object with input and output: {str(entry)[:80]}")
    return Case(entry["input"], str(entry["output"]))


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
