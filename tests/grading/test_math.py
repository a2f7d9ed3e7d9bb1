from __future__ import annotations

import json
import time

import pytest

from hyperscale.grading import GradeRequest, GradingPool, Verdict
from hyperscale.grading.math import equivalent
from tests.grading.hard_cases import MATH_CASES, TEXT_CASES
from tests.shared_data import shared_rows


def grade(pool: GradingPool, gold: str, text: str, finished: bool = True) -> Verdict:
    return pool.grade([GradeRequest("math", text, gold, finished)])[0]


def boxed(answer: str) -> str:
    return rf"Therefore, the final answer is: $\boxed{{{answer}}}$. I hope it is correct."


@pytest.mark.parametrize(("gold", "answer", "right"), MATH_CASES)
def test_grades_as_a_careful_human_would(pool: GradingPool, gold: str, answer: str, right: bool) -> None:
    verdict = grade(pool, gold, boxed(answer))
    assert verdict.correct is right
    assert verdict.flag is None


@pytest.mark.parametrize(("text", "gold", "answer", "right"), TEXT_CASES)
def test_finds_what_the_chain_gives_as_its_answer(
    pool: GradingPool, text: str, gold: str, answer: str | None, right: bool
) -> None:
    verdict = grade(pool, gold, text)
    assert (verdict.answer, verdict.correct) == (answer, right)


def test_the_table_is_large_enough_and_has_both_verdicts() -> None:
    assert len(MATH_CASES) + len(TEXT_CASES) >= 60
    assert sum(right for *_, right in MATH_CASES) > 20
    assert sum(not right for *_, right in MATH_CASES) > 20


def test_a_reasoning_that_never_closed_is_flagged(pool: GradingPool) -> None:
    assert grade(pool, "31", r"<think> so \boxed{31}") == Verdict(None, None, False, "unclosed_think")


@pytest.mark.parametrize(
    "answer",
    ["9**9**9**9", "9^{9^{9^{9}}}", r"10^{10^{10}}", "7^{999999999}", "100000000!", "(" * 400 + ")" * 400, "9" * 900],
)
def test_hopeless_answers_are_wrong_at_once(pool: GradingPool, answer: str) -> None:
    grade(pool, "1/2", boxed("2/4"))  # the workers have started
    start = time.monotonic()
    assert not grade(pool, "5", boxed(answer)).correct
    assert time.monotonic() - start < 20


@pytest.mark.parametrize("grader", ["math", "integer", "number", "choice"])
@pytest.mark.parametrize(
    "text",
    [
        pytest.param(text, id=text[:24].strip())
        for text in (
            "A long story of 12 eggs" + " " * 1000,
            r"\boxed{x" + " " * 1000 + " y}",
            r"\boxed{x" + " " * 980 + " y}",
            r"\boxed{7\text{" + " " * 980 + "}}",
            r"\boxed{7\text{" + " " * 970 + "x(}y}",
            "the answer" + "\n" * 40_000,
            "the answer to " + " " * 40_000,
            "Answer: " + "*" * 40_000,
            "#### " + "9," * 40_000,
            "\\" * 40_000,
            "answer is " * 100_000,
            "answer is 6 + 12. " * 50_000,
            r"\boxed{" + "{" * 500_000 + "}" * 500_000 + "}",
            r"\boxed{" * 150_000,
            r"\boxed{" + "{" * 1_000_000,
            "{" * 500_000 + r"\boxed{6}",
        )
    ],
)
def test_no_grader_hangs_on_a_long_text(pool: GradingPool, grader: str, text: str) -> None:
    grade(pool, "1/2", boxed("2/4"))  # the workers have started
    start = time.monotonic()
    verdict = pool.grade([GradeRequest(grader, text, "B" if grader == "choice" else "5", True)])[0]
    assert time.monotonic() - start < 20
    assert not verdict.correct
    assert verdict.flag is None


def test_all_500_golds_of_math_500_verify_against_themselves(pool: GradingPool) -> None:
    path = shared_rows("math_500/test.jsonl")
    if path is None:
        pytest.skip("MATH-500 is not part of the project")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    golds = [row["answer"] for row in rows]
    assert len(golds) == 500
    for texts in ([boxed(gold) for gold in golds], [row["solution"] for row in rows]):
        verdicts = pool.grade([GradeRequest("math", text, gold, True) for text, gold in zip(texts, golds, strict=True)])
        assert [gold for gold, verdict in zip(golds, verdicts, strict=True) if not verdict.correct] == []


def test_golds_of_math_500_verify_without_the_shortcut_for_equal_strings() -> None:
    path = shared_rows("math_500/test.jsonl")
    if path is None:
        pytest.skip("MATH-500 is not part of the project")
    golds = {json.loads(line)["answer"] for line in path.read_text(encoding="utf-8").splitlines()}
    assert [gold for gold in golds if not equivalent(gold, rf"{gold}\ ")] == []
    shifted = [gold for gold in golds if gold.isdigit() and equivalent(gold, str(int(gold) + 1))]
    assert shifted == []
