from __future__ import annotations

import pytest

from hyperscale.grading import GradeRequest, GraderRef, GradingPool, Verdict, gold_normal, load_grader

ANSWER = r"[Aa]nswer: *([^\n.]*)"


def grade(pattern: str, text: str, gold: str, *, finished: bool = True) -> Verdict:
    with GradingPool() as pool:
        return pool.grade([GradeRequest(GraderRef("regex", pattern), text, gold, finished)])[0]


@pytest.mark.parametrize(
    ("pattern", "text", "gold", "answer", "correct"),
    [
        (ANSWER, "Answer: blue", "blue", "blue", True),
        (ANSWER, "answer:   dark blue  .", " dark blue ", "dark blue", True),
        (ANSWER, "Answer: red. No: Answer: blue.", "blue", "blue", True),
        (ANSWER, "<think>Answer: blue</think>Answer: red", "blue", "red", False),
        (ANSWER, "Answer: Blue", "blue", "Blue", False),
        (ANSWER, "blue", "blue", None, False),
        (ANSWER, "Answer: blue. Answer: .", "blue", None, False),
        (r"\d+", "3 or 4", "4", "4", True),
        (r"x=(\d)|y=(\d)", "x=1 y=2", "1", None, False),
        (r"(?s)\[(.*)\]", "[a\nb]", "a\nb", "a\nb", True),
        (r"(?i)ANSWER (?P<said>\w+) (\w+)", "answer one two", "one", "one", True),
        (r"(x*)", "x" * 1001 + "y", "x", None, False),
    ],
)
def test_the_last_match_is_the_answer(pattern: str, text: str, gold: str, answer: str | None, correct: bool) -> None:
    assert grade(pattern, text, gold) == Verdict(answer, answer, correct, None)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Answer: 12", None),
        ("Answer: 12.", "12"),
        ("Answer: 3. Then Answer: 12", "3"),
        ("", None),
    ],
)
def test_a_match_that_the_cut_may_have_split_is_not_trusted(text: str, answer: str | None) -> None:
    assert grade(ANSWER, text, "12", finished=False).answer == answer


def test_a_pattern_that_backtracks_for_ages_is_stopped_and_flagged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hyperscale.grading.regex._SECONDS", 0.2)
    verdict = grade(r"(?:(?:a|b|ab)+)+c(\d)", "ab" * 5000 + "cx", "1")
    assert verdict == Verdict(None, None, False, "timeout")


@pytest.mark.parametrize(("pattern", "message"), [(None, "needs a pattern"), ("", "needs a pattern"), ("(", "'\\('")])
def test_a_pattern_must_be_one(pattern: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        load_grader(GraderRef("regex", pattern))
    assert "\n" not in str(error.value)


def test_no_other_grader_takes_one() -> None:
    with pytest.raises(ValueError, match="the grader math takes no pattern"):
        load_grader(GraderRef("math", "x"))


def test_golds_are_stripped_and_must_not_be_empty() -> None:
    assert gold_normal(GraderRef("regex", ANSWER), " a b ") == "a b"
    with pytest.raises(ValueError, match="cannot be graded by 'regex'"):
        gold_normal(GraderRef("regex", ANSWER), " ")
