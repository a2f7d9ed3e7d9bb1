from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperscale.grading import GradeRequest, GradingPool, Verdict, gold_normal
from hyperscale.tasks.generators import puzzle
from hyperscale.tasks.generators.countdown import Countdown
from tests.tasks.generators.prototype import records

GOLD = "9 11 22 19 ? 14"
SEARCH = "22 ~ 9 = 13 + 11 = 24 14 no 22 ~ 19 = 3 + 11 = 14 14 yes"


def grade(text: str, gold: str = GOLD, finished: bool = True) -> Verdict:
    with GradingPool() as pool:
        return pool.grade([GradeRequest("countdown", text, gold, finished)])[0]


@pytest.mark.parametrize(
    ("text", "answer", "normal", "correct"),
    [
        (f"{SEARCH} answer 22 - 19 + 11", "22 - 19 + 11", "-19 +11 +22", True),
        ("answer 11 + 22 - 19", "11 + 22 - 19", "-19 +11 +22", True),
        ("answer 22 - 19 + 9", "22 - 19 + 9", "-19 +9 +22", False),
        ("answer 13 - 9 + 10", "13 - 9 + 10", "-9 +10 +13", False),
        ("answer 7 + 7 + 0", "7 + 7 + 0", None, False),
        ("answer 14", "14", None, False),
        ("answer 22 - 19 + 11 answer 9 + 9 + 9", "9 + 9 + 9", "+9 +9 +9", False),
        ("answer 9 + 9 + 9 answer 22 - 19 + 11", "22 - 19 + 11", "-19 +11 +22", True),
        ("<think> answer 22 - 19 + 11 </think> answer no", "no", None, False),
        (SEARCH, None, None, False),
        ("answer", None, None, False),
        ("", None, None, False),
    ],
)
def test_the_last_answer_is_verified(text: str, answer: str | None, normal: str | None, correct: bool) -> None:
    assert grade(text) == Verdict(answer, normal, correct, None)


@pytest.mark.parametrize("record", records("countdown")[:6])
def test_a_chain_counts_once_it_has_ended(record: dict[str, Any]) -> None:
    problem = puzzle(Countdown, record["seed"], record["split"], record["index"])
    words = record["chain"].removesuffix(" <eos>").split()
    ended = record["chain"].endswith(" <eos>")
    cuts = [GradeRequest("countdown", " ".join(words[:end]), problem.gold, False) for end in range(len(words) + 1)]
    with GradingPool() as pool:
        *cut, whole = pool.grade([*cuts, GradeRequest("countdown", " ".join(words), problem.gold, ended)])
    assert whole.correct is ended
    assert {verdict.answer for verdict in cut} == {None}


HOSTILE = {
    "huge": "answer " + "9 + " * 3_000_000 + "9",
    "many": "answer 9 " * 1_000_000,
    "spaces": "answer" + " " * 5_000_000 + "22 - 19 + 11",
    "long number": "answer " + "9" * 5_000_000,
    "nested": "answer " + "(" * 10_000 + "9" + ")" * 10_000,
    "power": "answer 9 ** 9 ** 9",
    "division": "answer 9 / 0 + 11",
    "unicode digits": "answer ２２ - １９ + １１",
    "superscript": "answer 22 - 19 + 1²",
    "code": "answer __import__('os').abort()",
    "null": "answer 22 - 19 + 11\0",
    "lone surrogate": "answer 22 - 19 + 11 \ud800",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_texts_are_wrong_at_once(text: str) -> None:
    start = time.monotonic()
    assert not grade(text).correct
    assert time.monotonic() - start < 1.0


@given(st.text(st.sampled_from("answer 0123456789+-~() ٣²\n")))
def test_any_text_is_graded(text: str) -> None:
    verdict = grade("answer " + text)
    assert not verdict.correct or verdict.normal == "-19 +11 +22"


def test_answers_that_differ_in_order_are_one_class_and_malformed_ones_do_not_vote() -> None:
    verdicts = [grade(f"answer {answer}") for answer in ("22 - 19 + 11", "9", "11 - 19 + 22", "9 + 11 + 22")]
    with GradingPool() as pool:
        assert pool.classes("countdown", [verdict[:2] for verdict in verdicts]) == [0, -1, 0, 1]


@pytest.mark.parametrize("gold", ["14", "22 - 19 + 11", "9 11 22 19 ? 140", ""])
def test_a_gold_that_states_no_problem_is_refused(gold: str) -> None:
    assert gold_normal("countdown", GOLD) == GOLD
    with pytest.raises(ValueError, match="cannot be graded by 'countdown'; check the task's answer column"):
        gold_normal("countdown", gold)
