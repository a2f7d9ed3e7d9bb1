from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperscale.grading import GradeRequest, GradingPool
from hyperscale.grading.base import last_box, visible_text


def last_box_by_counting(text: str) -> str | None:
    """From every opening in turn, count braces up to its end; the last opening that ends with something inside wins."""
    answer = None
    for opening in re.finditer(r"\\(?:boxed|fbox)\{", text):
        depth, i = 1, opening.end()
        while i < len(text) and depth:
            if text[i] == "\\":
                i += 1
            elif text[i] == "{":
                depth += 1
            elif text[i] == "}":
                depth -= 1
            i += 1
        inside = text[opening.end() : i - 1].strip()
        if depth == 0 and inside:
            answer = inside
    return answer


pieces = st.sampled_from([r"\boxed{", r"\fbox{", "{", "}", "}", r"\{", r"\}", "a", "b", " ", r"\\", r"\frac"])


@given(st.lists(pieces, max_size=24).map("".join))
@settings(max_examples=500)
def test_the_last_box_is_the_one_found_by_counting_braces(text: str) -> None:
    assert last_box(text) == last_box_by_counting(text)


@pytest.mark.parametrize(
    ("text", "visible"),
    [
        ("a", "a"),
        ("<think>a</think>b", "b"),
        ("a</think>b", "b"),
        ("a</think>b</think>c", "c"),
        ("<think>a", None),
        ("<think>a</think>b<think>c", None),
        ("", ""),
    ],
)
def test_reasoning_is_taken_off(text: str, visible: str | None) -> None:
    assert visible_text(text) == visible


@given(st.sampled_from(["integer", "number", "choice"]), st.text(max_size=80), st.booleans())
@settings(max_examples=200)
def test_no_text_breaks_a_grader(grader: str, text: str, finished: bool) -> None:
    gold = "B" if grader == "choice" else "7"
    wrapped = [text, rf"\boxed{{{text}}}", f"The answer is {text}"]
    with GradingPool() as pool:
        for verdict in pool.grade([GradeRequest(grader, each, gold, finished) for each in wrapped]):
            assert verdict.correct == (verdict.normal == gold)
            assert (verdict.answer is None) <= (verdict.normal is None)
