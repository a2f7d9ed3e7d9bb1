"""Every grader is held to one contract, and the contract finds those that break it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest

from hyperscale.grading import GRADERS, NOTHING, Extraction, Grader, GraderRef
from hyperscale.grading.code import Cases, CodeGrader
from hyperscale.sandbox import open_sandbox
from hyperscale.testing import check_grader

SUM = Cases(public='[{"input": "1 2", "output": "3"}]', private="").model_dump_json()
ADDS = "So:\n```python\nprint(sum(map(int, input().split())))\n```\nDone."

EXAMPLES: Mapping[str, tuple[dict[str, str], list[str]]] = {
    "math": (
        {r"\frac{1}{2}": r"It is \boxed{0.5}.", "(2,1)": r"\boxed{(2,1)}", "7 cm": r"\boxed{7}"},
        [r"\boxed{1,2}", r"\boxed{\{1,2\}}", r"\boxed{3 m}", "0.5", ""],
    ),
    "integer": ({"025": r"\boxed{25}", "7": r"\boxed{m+n=7}"}, [r"\boxed{25x}", r"\boxed{1000}", "25"]),
    "number": ({"18": "The answer is 18 eggs.\nYes", "1/2": r"\boxed{0.5}"}, ["The answer is not 18.", "19", "none"]),
    "choice": ({"C": "Answer: C, I think", "A": "The answer is (A)."}, ["Answer: B", "Answer: A or C", "D"]),
    "final": ({"51": "4 + 47 answer 51", "7": "answer 007"}, ["51", "answer 51 51", "answer no"]),
    "countdown": ({"9 11 22 19 ? 14": "answer 22 - 19 + 11"}, ["answer 14", "answer 11 + 11 - 8", "22 - 19 + 11"]),
    "words": ({"a1, b2": "Answer: B2 and A1\n", "x": "Answer: X.\nSo it is"}, ["Answer: a1\n", "Answer: A1, B2, C3"]),
    "exact": ({"Paris": " Paris\n", "a  b": "a  b"}, ["paris", "Paris.", "a b", "It is Paris"]),
    "regex": ({"blue": "Colour: blue; so", "dark red": "Colour: dark red;"}, ["blue", "Colour: Blue;", "Colour: blue"]),
    "code": ({SUM: ADDS}, ["```python\nprint(4)\n```", "print(3)", ""]),
}


def reference(name: str) -> GraderRef:
    return GraderRef(name, r"Colour: ([\w ]+);" if name == "regex" else None)


@pytest.mark.parametrize("name", GRADERS.names())
def test_every_grader_keeps_the_contract(name: str) -> None:
    golds, wrong = EXAMPLES[name]
    programs = CodeGrader(open_sandbox()) if name == "code" else None
    check_grader(reference(name), golds, wrong, programs)


PLUGIN = """
from hyperscale.grading import NOTHING, Extraction, Grader

class Backwards(Grader):
    name = "backwards"
    compares = True

    def extract(self, text, *, finished):
        return Extraction(text, self.normal(text)) if finished and text else NOTHING

    def normal(self, answer):
        return answer or None

    def equal(self, gold, answer):
        return answer in (gold, gold[::-1])
"""


def test_a_file_of_ones_own_is_held_to_it_through_the_workers(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN)
    check_grader(f"{path}:Backwards", {"abc": "cba", "xy": "xy"}, ["acb", ""])


class Upper(Grader):
    """Keeps the contract; those below break it in one thing each."""

    name = "upper"

    def extract(self, text: str, *, finished: bool) -> Extraction:
        return Extraction(text, self.normal(text)) if finished and text else NOTHING

    def normal(self, answer: str) -> str | None:
        return answer.upper() or None


class Lenient(Upper):
    def gold(self, text: str) -> str:
        return text.upper()


class Blind(Upper):
    def extract(self, text: str, *, finished: bool) -> Extraction:
        return NOTHING


class Generous(Upper):
    def right(self, gold: str, found: Extraction) -> bool:
        return found.answer is not None


class Hasty(Upper):
    def extract(self, text: str, *, finished: bool) -> Extraction:
        return super().extract(text, finished=True)


class Chatty(Upper):
    def extract(self, text: str, *, finished: bool) -> Extraction:
        return super().extract(text, finished=finished) if text else Extraction("", "")


class Crooked(Upper):
    def extract(self, text: str, *, finished: bool) -> Extraction:
        return super().extract(text, finished=finished)._replace(answer=text[::-1]) if text and finished else NOTHING


class Unequal(Upper):
    def equal(self, gold: str, answer: str) -> bool:
        return gold < answer


class Restless(Upper):
    calls: ClassVar[list[str]] = []

    def gold(self, text: str) -> str:
        self.calls.append(text)
        return super().gold(text) + str(len(self.calls))


def test_the_contract_holds_for_an_object() -> None:
    check_grader(Upper(), {"a": "A", "bc": "Bc"}, ["x", ""])


@pytest.mark.parametrize(
    ("grader", "complaint"),
    [
        (Lenient(), "an empty gold must be refused"),
        (Blind(), "should be right"),
        (Generous(), "should be wrong"),
        (Hasty(), "cut to"),
        (Chatty(), "an empty text has no answer"),
        (Crooked(), "normal form"),
        (Unequal(), "is not equal"),
        (Restless(), "each time"),
    ],
    ids=lambda value: value.name if isinstance(value, Grader) else None,
)
def test_who_breaks_it_is_told(grader: Grader, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check_grader(grader, {"a": "A", "bc": "Bc"}, ["x"])
