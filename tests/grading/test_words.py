"""Exactly the words asked for: whole ones, in any order, and nothing beside them."""

from __future__ import annotations

import pytest

from hyperscale.grading import GradeRequest, GradingPool, gold_normal
from hyperscale.grading.words import words_answer, words_normal


def right(pool: GradingPool, text: str, gold: str, *, finished: bool = True) -> bool:
    (verdict,) = pool.grade([GradeRequest("words", text, gold, finished)])
    return verdict.correct


@pytest.mark.parametrize(
    "text",
    [
        "Answer: 1234567",
        "Answer: 1234567." + " " * 1000,
        "answer is 1234567",
        "The answer is: **1234567**",
        "**Answer:** 1234567",
        "**Answer**: `1234567`",
        "Answer: 1,234,567",
        "Answer: $1234567$",
        r"Answer: \boxed{1234567}",
        r"Final answer: $\boxed{\text{1234567}}$",
        "Answer: 7654321\nNo, wait.\nAnswer: 1234567",
        "The text says so.\n\nAnswer: 1234567\nI am sure of it.",
        "Answer:\n1234567",
        "Answer:\n\n  1234567\n\nAs the text says.",
        r"So it is \boxed{1234567}",
        "1234567",
        " 1234567.\n",
        "One of the special magic numbers for calm-lamp is: 1234567.",
        "<think>Answer: 7654321</think>Answer: 1234567",
    ],
)
def test_the_number_alone_is_right_however_it_is_set(pool: GradingPool, text: str) -> None:
    assert right(pool, text, "1234567")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Answer:",
        "Answer: ",
        "Answer: none",
        "Answer: 123456",
        "Answer: 12345678",
        "Answer: 1234567.5",
        "Answer: -1234567",
        "Answer: 1234567 or 7654321",
        "Answer: 1234567, 7654321",
        "Answer: not 1234567",
        "Answer: x1234567",
        "Answer: 1234567\nAnswer: 7654321",
        r"\boxed{1234567} Answer: 7654321",
        "I read 1234567 somewhere.\nMaybe.",
        "It may be 1234567",
        "The number 1234567 is the one.",
        "<think>Answer: 1234567",
        "<think>Answer: 1234567</think>",
        "Answer: " + "1234567 " * 1000,
    ],
)
def test_near_is_not_right(pool: GradingPool, text: str) -> None:
    assert not right(pool, text, "1234567")


@pytest.mark.parametrize(
    ("text", "correct"),
    [
        ("Answer: ABCDE, FGHIJ, KLMNO", True),
        ("Answer: KLMNO FGHIJ ABCDE", True),
        ("Answer: VAR ABCDE, VAR FGHIJ and VAR KLMNO.", True),
        ("Answer: `ABCDE`; `FGHIJ`; `KLMNO`", True),
        (r"Answer: $\text{ABCDE}, \text{FGHIJ}, \text{KLMNO}$", True),
        ("Answer:\n- ABCDE\n- FGHIJ\n- KLMNO", True),
        ("Answer: ABCDE, FGHIJ, KLMNO, ABCDE", True),
        ("Answer: abcde, fghij, klmno", True),
        ("ABCDE, FGHIJ, KLMNO", True),
        ("Answer: ABCDE, FGHIJ", False),
        ("Answer: ABCDE, FGHIJ, KLMNO, PQRST", False),
        ("Answer: ABCDEFGHIJ, KLMNO", False),
        ("Answer: ABCDE = 12345, FGHIJ, KLMNO", False),
        ("Answer: ABCDE, FGHIJ,\nKLMNO", False),
    ],
)
def test_a_set_must_be_stated_whole_and_without_more(pool: GradingPool, text: str, correct: bool) -> None:
    assert right(pool, text, "ABCDE FGHIJ KLMNO") is correct


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("Answer: 1234567", None),
        ("Answer: 1234567.", None),
        ("Answer: 1234567\n", "1234567"),
        ("Answer:\n1234567\n", None),
        ("Answer:\n1234567\n\n", "1234567"),
        ("Answer: 1234567\nAnswer: 76", None),
        (r"\boxed{1234567}", "1234567"),
        (r"\boxed{123456", None),
        ("1234567", None),
    ],
)
def test_what_a_cut_may_have_split_is_no_answer(text: str, normal: str | None) -> None:
    assert words_answer(text, finished=False).normal == normal


def test_votes_are_grouped_by_the_set(pool: GradingPool) -> None:
    answers = [words_answer(f"Answer: {text}", finished=True)[:2] for text in ("A1, B2", "b2 and a1", "A1", "...")]
    assert pool.classes("words", answers) == [0, 0, 1, -1]


def test_golds_must_hold_a_word() -> None:
    assert gold_normal("words", "B2 A1") == "a1 b2"
    assert words_normal("...") is None
    with pytest.raises(ValueError, match="gold"):
        gold_normal("words", "and")
