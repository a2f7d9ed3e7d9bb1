from __future__ import annotations

import pytest

from hyperscale.grading import GradeRequest, GradingPool, Verdict, gold_normal


def grade(text: str, gold: str, *, finished: bool = True) -> Verdict:
    with GradingPool() as pool:
        return pool.grade([GradeRequest("exact", text, gold, finished)])[0]


@pytest.mark.parametrize(
    ("text", "gold", "answer", "correct"),
    [
        ("Paris", "Paris", "Paris", True),
        (" \nParis\t", "  Paris ", "Paris", True),
        ("<think>Rome</think>\n\nParis", "Paris", "Paris", True),
        ("paris", "Paris", "paris", False),
        ("Paris.", "Paris", "Paris.", False),
        ("a  b", "a b", "a  b", False),
        ("It is Paris", "Paris", "It is Paris", False),
        ("", "Paris", None, False),
        (" \n", "Paris", None, False),
        ("x" * 1000, "x" * 1000, "x" * 1000, True),
        ("x" * 1001, "Paris", None, False),
    ],
)
def test_the_whole_text_is_the_answer(text: str, gold: str, answer: str | None, correct: bool) -> None:
    assert grade(text, gold) == Verdict(answer, answer, correct, None)


def test_a_text_that_was_cut_has_no_answer() -> None:
    assert grade("Paris", "Paris", finished=False) == Verdict(None, None, False, None)
    assert grade("<think>Paris", "Paris").flag == "unclosed_think"


def test_equal_texts_vote_together() -> None:
    with GradingPool() as pool:
        assert pool.classes("exact", [("a", "a"), ("b", "b"), (None, None), ("a", "a")]) == [0, 1, -1, 0]


@pytest.mark.parametrize("gold", ["", " \n", "x" * 1001])
def test_a_gold_that_no_text_can_equal_is_refused(gold: str) -> None:
    with pytest.raises(ValueError, match="cannot be graded by 'exact'"):
        gold_normal("exact", gold)
