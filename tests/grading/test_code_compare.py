"""LiveCodeBench's rules on outputs, against a plain reading of them."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperscale.grading.code.compare import same_output, same_value


@pytest.mark.parametrize(
    ("produced", "expected", "same"),
    [
        ("42\n", "42", True),
        ("  42  \n\n", "42\n", True),
        ("42.0", "42", True),
        ("4.2e1", "42", True),
        ("0.1", "0.10000000001", False),
        ("50000000000000000", "50000000000000001", False),
        ("Yes", "YES", False),
        ("1 2 3", "1  2 3", True),
        ("1 2 3", "1 2", False),
        ("a  b", "a b", False),
        ("1\n2", "1 2", False),
        ("1\n\n2", "1\n2", False),
        ("", "", True),
        ("", "0", False),
        ("nan", "nan", True),
        ("nan 1", "nan 1.0", False),
        ("sNaN", "1", False),
        ("x 1.0", "x 1", False),
        ("-0", "0", True),
        ("\u0664\u0662", "42", True),
        ("1\x002", "12", False),
    ],
)
def test_outputs(produced, expected, same):
    assert same_output(produced, expected) is same


WORDS = st.sampled_from(["1", "1.0", "01", "2", "-0", "0", "x", "nan", "1e3", "1000", "sNaN", " ", ""])
TEXTS = st.lists(st.lists(WORDS, max_size=3).map(" ".join), max_size=3).map("\n".join)


def plainly(produced: str, expected: str) -> bool:
    ours, theirs = (text.strip().split("\n") for text in (produced, expected))
    if len(ours) != len(theirs):
        return False
    for mine, wanted in zip(ours, theirs, strict=True):
        if mine.strip() == wanted.strip():
            continue
        try:
            pairs = [[Decimal(word) for word in line.split()] for line in (mine, wanted)]
            if pairs[0] != pairs[1]:
                return False
        except InvalidOperation:
            return False
    return True


@given(TEXTS, TEXTS)
def test_outputs_as_the_rules_read(produced, expected):
    assert same_output(produced, expected) is plainly(produced, expected)


def test_values_are_equal_as_python_says():
    assert same_value([1, 2.0, {"a": None}], [1.0, 2, {"a": None}])
    assert same_value(True, 1)
    assert not same_value((1, 2), [1, 2])
    assert not same_value(float("nan"), float("nan"))
    deep: list[object] = []
    other: list[object] = []
    for _ in range(100_000):
        deep, other = [deep], [other]
    assert not same_value(deep, other)
