"""Tests of a problem as its dataset packs them, and what no dataset may smuggle in."""

from __future__ import annotations

import base64
import json
import os
import pickle
import zlib
from pathlib import Path

import pytest

from hyperscale.grading.code.gold import Case, Cases, cases_of, parse_gold

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
