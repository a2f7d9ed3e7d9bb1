"""A whole number alone behind the last `answer`: nothing else is an answer, or a vote."""

from __future__ import annotations

import pytest

from hyperscale.grading import gold_normal
from hyperscale.grading.final import final_answer, final_normal


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("42 0 d= h +4 : 43 3 answer 51", "51"),
        ("answer 51 <eos>", "51"),
        ("answer 051", "51"),
        ("answer 3 answer 51", "51"),
        ("51", None),
        ("1 51", None),
        ("51 answer", None),
        ("answer 51 51", None),
        ("answer 3 ~ 51", None),
        ("answer + 51", None),
        ("answer no 51", None),
        ("answer 51 no", None),
        ("answer d", None),
        ("answer ５１", None),
        ("answer " + "9" * 10, None),
        ("", None),
    ],
)
def test_only_a_number_alone_is_an_answer(text: str, normal: str | None) -> None:
    assert final_answer(text, finished=True).normal == normal
    assert final_answer(text, finished=False).normal is None


def test_golds_must_be_numbers() -> None:
    assert gold_normal("final", "07") == "7"
    assert final_normal("x") is None
    with pytest.raises(ValueError, match="gold"):
        gold_normal("final", "seven")
