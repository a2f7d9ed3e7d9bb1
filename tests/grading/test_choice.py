from __future__ import annotations

import pytest

from hyperscale.grading import GradeRequest, GradingPool


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("Answer: C", "C"),
        ("Answer: $C$", "C"),
        ("**Answer: C**", "C"),
        ("**Answer:** **C**", "C"),
        ("**Answer**: (C)", "C"),
        ("answer: c", "C"),
        ("The answer is (c).", "C"),
        ("The correct answer is C) helium", "C"),
        ("The answer is option C", "C"),
        ("The correct option is C.", "C"),
        (r"Answer: \boxed{C}", "C"),
        (r"So \boxed{\text{C}}", "C"),
        (r"So $\boxed{(C)}$", "C"),
        ("Answer:\nC", "C"),
        ("C", "C"),
        ("(C).", "C"),
        ("Answer: A\nOn reflection, Answer: C", "C"),
        ("<think>Answer: A</think>Answer: C", "C"),
        ("Answer: C because A and B fail", "C"),
        ("Answer: $LETTER", None),
        ("Answer: A or C", None),
        ("Answer: Carbon", None),
        ("The answer is a long story", None),
        ("A is likely", None),
        ("<think>Answer: C", None),
        ("Answer: E", None),
        ("", None),
    ],
)
def test_the_last_letter_stated_is_the_answer(text: str, letter: str | None) -> None:
    with GradingPool() as pool:
        verdict = pool.grade([GradeRequest("choice", text, "C", True)])[0]
    assert verdict.normal == letter
    assert verdict.correct is (letter == "C")
