from __future__ import annotations

import json
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperscale.grading import GradeRequest, GradingPool
from hyperscale.grading.number import integer_normal, number_answer, number_normal
from tests.shared_data import shared_rows


@pytest.mark.parametrize(
    ("answer", "normal"),
    [
        ("025", "25"), ("0", "0"), ("000", "0"), ("999", "999"), ("1000", None), ("-3", None), ("2.5", None),
        ("25.0", "25"), ("m+n = 25", "25"), (r"\text{025}", "25"), (r"\mathbf{25}", "25"), ("$25$", "25"),
        (r"25^\circ", "25"), ("25.", "25"), (r"\frac{50}{2}", "25"), (r"25 \text{ ways}", "25"), ("20 + 5", None),
        (r"5 \cdot 5", None),
        (r"25\sqrt{3}", None), (r"25\pi", None), ("25x", None), ("25, 30", None), ("(25,30)", None),
        (r"25 \text{ or } 26", None), (r"25 \text{ or } x", None), (r"\sqrt{25}", None), ("25!", None),
        ("25^{2}", None), ("2^{25}", None), (r"x \ge 25", None), ("25 1/2", None), (r"25\frac{1}{2}", None),
        (r"25\frac12", None), ("m+n=25", "25"), (r"\text{25}", "25"), (r"25^{\circ}", "25"),
        ("2^5", None), ("x", None), ("", None), ("1,000", None), ("+25", "25"), ("−3", None),
    ],
)  # fmt: skip
def test_aime_wants_an_integer_from_0_to_999(answer: str, normal: str | None) -> None:
    assert integer_normal(answer) == normal


@given(st.integers(0, 999), st.integers(0, 4))
def test_every_such_integer_is_read_whatever_its_leading_zeros(number: int, zeros: int) -> None:
    assert integer_normal("0" * zeros + str(number)) == str(number)


@given(st.integers(-(10**9), 10**9), st.integers(0, 99))
def test_numbers_are_read_exactly_with_separators_and_decimals(whole: int, cents: int) -> None:
    sign = "-" if whole < 0 else ""
    expected = Fraction(f"{whole}.{cents:02d}")
    assert number_normal(f"{sign}${abs(whole):,}.{cents:02d}") == str(expected)


@pytest.mark.parametrize(
    ("text", "finished", "normal"),
    [
        # A box comes first, the last one that holds a number.
        (r"The answer is 3. \boxed{18}", True, "18"),
        (r"\boxed{12} or rather \boxed{18}", True, "18"),
        (r"\boxed{\$1,\!250}", True, "1250"),
        (r"\boxed{18\text{ eggs}}", True, "18"),
        (r"\boxed{?} The answer is 18.", True, "18"),
        (r"\boxed{18", True, "18"),
        # Then the last statement of the answer.
        ("The final answer is 18", True, "18"),
        ("The final answer is $18.50.", True, "37/2"),
        ("The final answer is: **18**.", True, "18"),
        ("**Answer:** 18 dollars", True, "18"),
        ("Answer:\n18\n", True, "18"),
        ("ANSWER = 18", True, "18"),
        ("so 3 * 6 = 18.\n#### 18", True, "18"),
        ("#### 1,234\nThat took 5 steps.", True, "1234"),
        ("#### Step 2: multiply\n6 times 3 is 18", True, "18"),
        ("The answer is 5. No, wait. The answer is 18. It took 3 days.", True, "18"),
        ("The answer is not 5. The answer is 18.", True, "18"),
        ("The answer is 6 x 3 = 18.", True, "18"),
        ("The answer to the question is 18 after 2 days.", True, "18"),
        ("The answer is:\n- 18 apples", True, "18"),
        ("The answer is:\r\n  • 18 apples", True, "18"),
        ("The answer is -18 apples", True, "-18"),
        ("Answer：18", True, "18"),
        ("#### 18 eggs", True, "18"),
        ("#### 18\r\nThat took 5 steps.", True, "18"),
        ("#### 18.5%\nIt took 5 steps.", True, "37/2"),
        ("#### 2. Multiply\nIt is 18", True, "18"),
        # Mixed numbers.
        ("The answer is 18 1/2.", True, "37/2"),
        ("The answer is -18 1/2.", True, "-37/2"),
        (r"\boxed{18\frac{1}{2}}", True, "37/2"),
        (r"\boxed{1,018 \dfrac{1}{2}}", True, "2037/2"),
        (r"\boxed{\frac{1}{2}}", True, "1/2"),
        (r"\boxed{18\frac12}", True, None),
        # Uncomputed or denied: no answer, and no guess at another.
        ("The answer is 6 + 12. So there are 18 eggs", True, None),
        ("The answer is 18. As said, the answer is 6 + 12.", True, "18"),
        (r"The answer is $10^{3}$.", True, None),
        (r"\boxed{10^{3}}", True, None),
        (r"\boxed{10^{3}} The answer is 1000.", True, "1000"),
        ("The answer is 1e3.", True, None),
        ("The answer is 5 times 3.", True, None),
        ("The answer is 6 plus 12.", True, None),
        (r"The answer is $5 \times 3$.", True, None),
        (r"The answer is $5\sqrt{2}$.", True, None),
        ("The answer is not 18.", True, None),
        ("The answer isn't 18.", True, None),
        ("The answer is clearly not 18.", True, None),
        ("The answer is 18, not 20.", True, "18"),
        ("The answer is as follows. She has 18 eggs", True, "18"),
        ("The final answer is -18.", True, "-18"),
        ("The final answer is −18.", True, "-18"),
        ("The final answer is 3/4 of it.", True, "3/4"),
        # Then the last number, if the chain ended by itself.
        ("She has 12 + 6 = 18 eggs.", True, "18"),
        ("She has 18 eggs", False, None),
        ("no number at all", True, None),
        ("", True, None),
        # A cut may have split the number.
        ("The final answer is 18", False, None),
        ("The final answer is 18.", False, None),
        ("The final answer is 18.\n", False, "18"),
        ("The final answer is 18. Let me", False, "18"),
        ("#### 18", False, None),
        ("#### 18\n", False, "18"),
        (r"\boxed{18} and the", False, "18"),
        ("The answer is 7. The final answer is 1", False, "7"),
        # Hopeless.
        (r"\boxed{" + "9" * 500 + "}", True, None),
        (r"\boxed{1/0}", True, None),
    ],
)
def test_which_number_a_chain_answers(text: str, finished: bool, normal: str | None) -> None:
    assert number_answer(text, finished=finished).normal == normal


@pytest.mark.parametrize(
    ("name", "grader", "split_mark", "count"),
    [("aime_2024/test.jsonl", "integer", None, 30), ("gsm8k/test.jsonl", "number", "####", 1319)],
)
def test_all_golds_grade_as_right_and_their_neighbours_as_wrong(
    name: str, grader: str, split_mark: str | None, count: int
) -> None:
    path = shared_rows(name)
    if path is None:
        pytest.skip(f"{name} is not part of the project")
    answers = [str(json.loads(line)["answer"]) for line in path.read_text(encoding="utf-8").splitlines()]
    golds = [answer.rpartition(split_mark)[2].strip() if split_mark else answer for answer in answers]
    assert len(golds) == count
    right, wrong, solutions = [], [], []
    for gold, solution in zip(golds, answers, strict=True):
        other = int(gold.replace(",", "")) - 1
        right.append(GradeRequest(grader, rf"<think> \boxed{{{other}}} </think> So \boxed{{{gold}}}.", gold, True))
        wrong.append(GradeRequest(grader, rf"<think> \boxed{{{gold}}} </think> So \boxed{{{other}}}.", gold, True))
        solutions.append(GradeRequest(grader, solution, gold, True))
    with GradingPool() as pool:
        assert all(verdict.correct for verdict in pool.grade(right))
        assert not any(verdict.correct for verdict in pool.grade(wrong))
        if split_mark:
            assert all(verdict.correct for verdict in pool.grade(solutions))
