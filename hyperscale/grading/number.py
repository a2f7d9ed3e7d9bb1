"""Answers that are plain numbers: AIME's integers from 0 to 999, and the numbers of GSM8K and arithmetic."""

from __future__ import annotations

import re
from fractions import Fraction

from hyperscale.grading.extract import MAX_ANSWER, last_box
from hyperscale.grading.verdict import NOTHING, Extraction

AIME_MAX = 999
_MAX_DIGITS = 100

_LATEX_NOISE = re.compile(
    r"\\(?:left|right|displaystyle|[,!;: ()\[\]])|\{,\}(?=\d{3})|\^\s*\{?\\circ\}?|[$~]|(?<!\d)\*\*|\*\*(?!\d)"
)
_WRAPPER = re.compile(r"\\(?:text(?:bf|rm|it)?|mathrm|mathbf|mbox)\s*\{([^{}]*)\}")
_FRACTION = re.compile(r"\\[dtc]?frac\s*\{\s*(-?\d+)\s*\}\s*\{\s*(-?\d+)\s*\}")
_NUMBER = re.compile(
    r"(?<![\w.])(?P<sign>[-+])?\s*[€£]?\s*"
    r"(?P<whole>\d{1,3}(?:,\d{3})+(?!\d)|\d+)?(?P<decimals>\.\d+)?(?<=\d)"
    r"(?:\s*/\s*(?P<denominator>\d+))?"
)
_OPERATOR_FOLLOWS = re.compile(r"\s*(?:[-+*×÷^]|\\times|\\cdot|\\div|[x/]\s*\d)\s*\(?\s*\d")
_STATEMENT = re.compile(
    r"####(?=[ \t]*[-+$€£]*[\d,.]+[ \t]*(?:\n|\Z))"
    r"|\banswer\b(?:\s+to\s[^.\n]{0,80}?)?\s*\**\s*(?:\bis\b|\bwas\b|:|=)(?P<negated>\s+not\b)?",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"\n|[.!?](?=\s|$)|[;]")


def integer_answer(text: str) -> Extraction:
    """Last box of the text, required to hold an integer from 0 to 999 (AIME); leading zeros are dropped."""
    box = last_box(text)
    if box is None or len(box) > MAX_ANSWER:
        return NOTHING
    return Extraction(box, integer_normal(box))


def integer_normal(answer: str) -> str | None:
    """The integer from 0 to 999 that the answer is ("025", "m+n=25", "25.0" -> "25"), else None."""
    number = _read(answer)
    in_range = number is not None and number.denominator == 1 and 0 <= number <= AIME_MAX
    return str(number) if in_range else None


def number_answer(text: str, *, finished: bool) -> Extraction:
    r"""The number that the text gives as its answer (GSM8K, arithmetic).

    In this order: the last box that holds a number; the last statement `#### X`, `the answer is X` or
    `answer: X`; the last number of the text, but only of a chain that ended by itself. A number that the
    cut may have split (it touches the end of an unfinished text) is no answer.
    """
    if (box := last_box(text)) is not None and len(box) <= MAX_ANSWER and (normal := number_normal(box)):
        return Extraction(box, normal)
    for statement in reversed(list(_STATEMENT.finditer(text))):
        stated = text[statement.end() : statement.end() + MAX_ANSWER].lstrip(" \t\n:*$=")
        end = _SENTENCE_END.search(stated)
        sentence = stated[: end.start()] if end else stated
        cut = not finished and (end is None or (end[0] != "\n" and end.end() == len(stated)))
        if not statement["negated"] and not cut and (normal := number_normal(sentence)):
            return Extraction(sentence.strip(), normal)
    if finished and (numbers := _numbers(_plain(text[-MAX_ANSWER:]))):
        return Extraction(str(numbers[-1]), str(numbers[-1]))
    return NOTHING


def number_normal(answer: str) -> str | None:
    """The number stated, as an exact fraction ("$1,234.50" -> "2469/2"), else None."""
    number = _read(answer)
    return None if number is None else str(number)


def _read(answer: str) -> Fraction | None:
    """First number right of the last `=`; None where a sum or product stands there uncomputed."""
    stated = _plain(answer).rpartition("=")[2]
    found = _NUMBER.search(stated)
    if found is None or _OPERATOR_FOLLOWS.match(stated, found.end()):
        return None
    return _value(found)


def _numbers(text: str) -> list[Fraction]:
    values = (_value(found) for found in _NUMBER.finditer(text))
    return [value for value in values if value is not None]


def _plain(text: str) -> str:
    text = text.replace("−", "-").replace("–", "-").replace("°", "")
    text = _LATEX_NOISE.sub(lambda noise: "," if noise[0] == "{,}" else "", text.replace("\\$", ""))
    return _FRACTION.sub(r"\1/\2", _WRAPPER.sub(r" \1 ", text))


def _value(found: re.Match[str]) -> Fraction | None:
    whole = (found["whole"] or "0").replace(",", "")
    if len(found[0]) > _MAX_DIGITS or (found["denominator"] and not int(found["denominator"])):
        return None
    value = Fraction(whole + (found["decimals"] or "")) / int(found["denominator"] or 1)
    return -value if found["sign"] == "-" else value
