"""Values that cross from the sandbox: types are kept, and nothing is run."""

from __future__ import annotations

import collections
import contextlib
import enum
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperscale.grading.code.inside.values import Opaque, dumps, loads

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
KEYS = st.integers() | st.text() | st.booleans() | st.tuples(st.integers(), st.text())
VALUES = st.recursive(
    SCALARS | st.complex_numbers(allow_nan=False),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(KEYS, inner) | st.sets(KEYS),
)


def same(one: object, other: object) -> bool:
    return type(one) is type(other) and one == other


def typed(value: object) -> object:
    """A value with the types of all in it, sets and dicts in one order."""
    if isinstance(value, (list, tuple)):
        return type(value), [typed(item) for item in value]
    if isinstance(value, set):
        return set, sorted(repr(typed(item)) for item in value)
    if isinstance(value, dict):
        return dict, sorted((repr(typed(key)), repr(typed(item))) for key, item in value.items())
    return type(value), repr(value)


@given(VALUES)
def test_a_value_comes_back_with_its_types(value):
    line = dumps(value)
    assert "\n" not in line
    assert typed(loads(line)) == typed(value)


Pair = collections.namedtuple("Pair", "x y")


class Colour(enum.IntEnum):
    RED = 3


class Liar(int):
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = int.__hash__


class LyingList(list):
    def __iter__(self):
        return iter([42])

    def __eq__(self, other: object) -> bool:
        return True


@pytest.mark.parametrize(
    ("value", "back"),
    [
        pytest.param(10**5000, 10**5000, id="large"),
        (math.inf, math.inf),
        (np.int64(7), 7),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (Colour.RED, 3),
        (Liar(5), 5),
        (LyingList([1, 2]), [1, 2]),
        (collections.Counter("aab"), {"a": 2, "b": 1}),
        (Pair(1, 2), (1, 2)),
        (frozenset({1}), frozenset({1})),
        (bytearray(b"x"), b"x"),
    ],
)
def test_subclasses_count_as_what_they_extend(value, back):
    found = loads(dumps(value))
    assert same(found, back)


def test_what_does_not_cross_equals_nothing():
    class AlwaysEqual:
        def __eq__(self, other: object) -> bool:
            return True

    endless: list[object] = []
    endless.append(endless)
    for value in (AlwaysEqual(), iter([1]), (x for x in [1]), object, np.zeros(3), collections.deque([1])):
        found = loads(dumps(value))
        assert isinstance(found, Opaque)
        assert found != value
        assert found != found
    assert loads(dumps(endless)) != endless
    assert loads(dumps(math.nan)) != math.nan


@pytest.mark.parametrize(
    "line",
    ["", "{", "1", "[]", "[[]]", '["int"]', '["int", "zz"]', '["dict", [[1]]]', '["dict", [[["list", []], ["none"]]]]',
     '["set", [["list", []]]]', '["list", 3]', '["float", "x"]', "[" * 100_000, '["bytes", "q"]', "null"],
)  # fmt: skip
def test_no_line_does_more_than_raise_a_value_error(line):
    with pytest.raises(ValueError):
        loads(line)


@given(st.recursive(st.none() | st.text() | st.integers(), lambda inner: st.lists(inner)))
def test_any_json_is_a_value_or_a_value_error(value):
    with contextlib.suppress(ValueError):
        loads(json.dumps(value))
