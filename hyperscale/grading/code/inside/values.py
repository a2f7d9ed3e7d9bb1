"""Encode Python values as JSON that keeps their types: tagged lists. Unlike pickle, reading them runs no code."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from typing import Any

_DEEPEST = 200


class Opaque:
    """A value of a type that is not transferred: equal to nothing, itself included."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = object.__hash__


def dumps(value: Any) -> str:
    """Write a value as one line of JSON."""
    return json.dumps(encode(value))


def loads(line: str | bytes) -> Any:
    """Read the value of a line; ValueError where it is invalid."""
    try:
        return decode(json.loads(line))
    except (TypeError, KeyError, IndexError, AttributeError, ArithmeticError, RecursionError, MemoryError) as error:
        raise ValueError(f"not a value: {error!r}") from None


def encode(value: Any, depth: int = 0) -> list[Any]:
    """Encode a value as a tagged list. Subclasses count as their built-in base, numpy's scalars as Python's."""
    kind = type(value)
    if value is None:
        return ["none"]
    if kind.__module__ == "numpy" and hasattr(value, "item") and getattr(value, "shape", None) == ():
        return encode(value.item(), depth)
    if isinstance(value, bool):
        return ["bool", value is True]
    if isinstance(value, int):
        return ["int", hex(int.__index__(value))]
    if isinstance(value, float):
        return ["float", float.hex(value)]
    if isinstance(value, complex):
        return ["complex", float.hex(value.real), float.hex(value.imag)]
    if isinstance(value, str):
        return ["str", str.__str__(value)]
    if isinstance(value, Fraction):
        return ["fraction", hex(value.numerator), hex(value.denominator)]
    if isinstance(value, Decimal):
        return ["decimal", str(value)]
    if isinstance(value, (bytes, bytearray)):
        return ["bytes", bytes(value).hex()]
    if depth > _DEEPEST:
        return ["opaque", "nested too deeply"]
    for name, base in (("list", list), ("tuple", tuple), ("set", set), ("frozenset", frozenset)):
        if isinstance(value, base):
            return [name, [encode(item, depth + 1) for item in base.__iter__(value)]]  # type: ignore[arg-type]
    if isinstance(value, dict):
        items = [(encode(key, depth + 1), encode(item, depth + 1)) for key, item in dict.items(value)]
        return ["dict", [[key, item] for key, item in items]]
    return ["opaque", kind.__name__]


def decode(tagged: Any) -> Any:
    """Decode a tagged list."""
    name, *rest = tagged
    if name == "none":
        return None
    if name == "bool":
        return rest[0] is True
    if name == "int":
        return int(rest[0], 16)
    if name == "float":
        return float.fromhex(rest[0])
    if name == "complex":
        return complex(float.fromhex(rest[0]), float.fromhex(rest[1]))
    if name == "str":
        return str(rest[0])
    if name == "fraction":
        return Fraction(int(rest[0], 16), int(rest[1], 16))
    if name == "decimal":
        return Decimal(rest[0])
    if name == "bytes":
        return bytes.fromhex(rest[0])
    if name == "dict":
        return {decode(key): decode(item) for key, item in rest[0]}
    for known, base in (("list", list), ("tuple", tuple), ("set", set), ("frozenset", frozenset)):
        if name == known:
            return base(decode(item) for item in rest[0])
    return Opaque(str(rest[0]))
