"""Tests of a problem as its dataset packs them, and what no dataset may smuggle in.

LiveCodeBench's rules on outputs, against a plain reading of them.
"""

from __future__ import annotations

import base64
import json
import os
import pickle
import zlib
from decimal import Decimal, InvalidOperation
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperscale.grading.code.gold import Case, Cases, cases_of, parse_gold, same_output, same_value

PUBLIC = json.dumps([{"input": "1 2\n", "output": "3\n", "testtype": "stdin"}])


def packed(value: object) -> str:
    return base64.b64encode(zlib.compress(pickle.dumps(value))).decode()


def unpacked(private: str, public: str) -> tuple[Case, ...]:
    return cases_of(Cases(public=public, private=private))


def test_private_tests_come_after_public_ones():
    private = [{"input": str(i), "output": str(2 * i), "testtype": "stdin"} for i in range(50)]
    wanted = (Case("1 2\n", "3\n"), *(Case(str(i), str(2 * i)) for i in range(50)))
    assert unpacked(packed(json.dumps(private)), PUBLIC) == wanted
    assert unpacked(json.dumps(private), PUBLIC) == wanted


class Runs:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_a_pickle_that_runs_something_is_refused_and_not_run(tmp_path):
    with pytest.raises(ValueError, match=r"private tests cannot be read: it names (posix|os)\.system"):
        unpacked(packed(Runs(tmp_path / "ran")), PUBLIC)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("private", "message"),
    [
        ("not base64!", "cannot be read"),
        (base64.b64encode(b"not zlib").decode(), "cannot be read"),
        (base64.b64encode(zlib.compress(b"not a pickle")).decode(), "cannot be read"),
        (packed([1, 2]), "a pickled list, not a string"),
        (packed("{"), "cannot be read"),
        (packed('{"a": 1}'), "are not a list"),
        ("[1]", "a test is not an object with input and output: 1"),
        ('[{"input": "1"}]', "a test is not an object"),
        ("[", "cannot be read"),
    ],
)
def test_what_is_no_list_of_tests_is_told(private, message):
    with pytest.raises(ValueError, match=message):
        unpacked(private, PUBLIC)


def test_a_problem_without_tests_is_an_error():
    with pytest.raises(ValueError, match="no tests"):
        unpacked("[]", "[]")


@pytest.mark.parametrize("gold", ["", "{}", "[]", '{"kind": "x"}', '{"kind": "check", "prompt": "a"}'])
def test_what_is_no_gold_is_told(gold):
    with pytest.raises(ValueError, match="no tests for a program"):
        parse_gold(gold)


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
