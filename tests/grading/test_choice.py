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
        (r"Answer: \(C\)", "C"),
        ('Answer: "C"', "C"),
        ('Answer: "C".', "C"),
        ("Answer: `C`", "C"),
        ("Answer：C", "C"),
        ("answer: c) helium", "C"),
        ("The answer is (c).\nIt was easy", "C"),
        ("**Answer: c**\r\n\r\nIt was easy", "C"),
        ("Answer: (C)\n\nOr so I think", "C"),
        ("answer: (c) helium", "C"),
        ("Answer: C, A is too small", "C"),
        ("Answer: C, as A is too small", "C"),
        ("The answer must be C", "C"),
        ("The answer has to be (C).", "C"),
        ("The answer must be Carbon", None),
        ("The answer is not C", None),
        ("Answer: A, B", None),
        ("Answer: A, B and C", None),
        ("Answer: A, B are right", None),
        (r"Answer: \(A\) or \(B\)", None),
        ('Answer: "A" or "B"', None),
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


@pytest.mark.parametrize(
    ("text", "finished", "letter"),
    [
        ("Answer: C", True, "C"),
        ("Answer: C", False, None),
        ("Answer: A ", False, None),
        ("The answer is a", False, None),
        ("Answer: C\n", False, "C"),
        ("Answer: (C)", False, "C"),
        (r"\boxed{C", False, None),
        (r"\boxed{C}", False, "C"),
        ("C", False, None),
        ("Answer: C. No: Answer: A", False, "C"),
        ("Answer: C. No: Answer: A", True, "A"),
    ],
)
def test_a_letter_at_the_cut_is_not_trusted(text: str, finished: bool, letter: str | None) -> None:
    with GradingPool() as pool:
        assert pool.grade([GradeRequest("choice", text, "C", finished)])[0].normal == letter
