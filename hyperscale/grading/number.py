"""Grade plain numbers: GSM8K and arithmetic; and integers from 0 to 999: AIME."""

from __future__ import annotations

import re
from collections import deque
from fractions import Fraction

from hyperscale.grading.base import MAX_ANSWER, NOTHING, Extraction, Grader, last_box

_MAX_DIGITS = 100

_LATEX_NOISE = re.compile(
    r"\\(?:left|right|displaystyle|q?quad|[,!;: ()\[\]])|\{,\}(?=\d{3})|\^\s*\{?\\circ\}?|[$~]|(?<!\d)\*\*|\*\*(?!\d)"
)
_WRAPPER = re.compile(r"\\(?:text(?:bf|rm|it)?|mathrm|mathbf|mbox)\s*\{([^{}]*)\}")
_FRACTION = re.compile(r"\\[dtc]?frac\s*\{\s*(-?\d+)\s*\}\s*\{\s*(-?\d+)\s*\}")
NUMBER = re.compile(
    r"(?<![\w.])(?:(?<![\d)] )(?P<sign>[-+]) ?)?(?:[€£] ?)?"
    r"(?:(?P<units>\d{1,3}(?:,\d{3})+|\d+) +(?=\d+ ?/ ?\d))?"
    r"(?P<whole>\d{1,3}(?:,\d{3})+(?!\d)|\d+)?(?P<decimals>\.\d+)?(?<=\d)"
    r"(?:\s*/\s*(?P<denominator>\d+))?"
)
_UNCOMPUTED = re.compile(
    r"[eE][-+]?\d|\s*(?:\^|\\[A-Za-z]|(?:[-+*×·÷x/]|\*\*|times|plus|minus|(?:multiplied|divided) by)\s*\(?\s*\d)"
)
_STATEMENT = re.compile(
    r"####(?=[ \t]*+[-+$€£]*[\d,./]*\d(?:\.?|%|[ \t]++[A-Za-z][^\d\n]*+)[ \t\r*]*+(?:\n|\Z))"
    r"|\banswer\b(?:\s+to\s[^.\n]{0,80}?)?\s*+\**+\s*+(?:\b(?:is|was)(?=\b|n['’]t\b)|[:：=])",
    re.IGNORECASE,
)
_LEAD = re.compile(r"[ \t:*$=]*+(?:[\r\n][\s:*$=]*+(?:[-•][ \t]++)?)?")
_NEGATED = re.compile(r"\D*?(?:\bnot\b|n['’]t\b)")
_LAST_STATEMENTS = 20
_SENTENCE_END = re.compile(r"\n|[.!?](?=\s|$)|[;]")

AIME_MAX = 999

_LABEL = re.compile(r"[\s{]*(?:[A-Za-z][A-Za-z ]*[: ]\s*)?")
_UNIT = re.compile(r"[\s}]*(?:\s(?!(?:or|and)\b)[A-Za-z][A-Za-z ]*)?[\s.]*")


class Number(Grader):
    """Grader of numbers, as exact fractions."""

    name = "number"

    def extract(self, text: str, *, finished: bool) -> Extraction:
        """Find the number given as the answer."""
        return number_answer(text, finished=finished)

    def normal(self, answer: str) -> str | None:
        """Bring the number to an exact fraction."""
        return number_normal(answer)


def number_answer(text: str, *, finished: bool) -> Extraction:
    r"""Find the number given as the answer (GSM8K, arithmetic).

    In this order: the last box, if it holds a number; the last statement `#### X`, `the answer is X` or
    `answer: X` that does; the last number of the text, but only of a finished chain that stated nothing else: a
    denied ("is not 18") or uncomputed ("6 + 12") number is not an answer. In an unfinished chain the statement's
    sentence must have ended, as the cut may have split its number.
    """
    box = (last_box(text) or "")[: MAX_ANSWER + 1]
    if len(box) <= MAX_ANSWER and (normal := number_normal(box)):
        return Extraction(box, normal)
    refused = any(map(str.isdigit, box))
    for statement in reversed(deque(_STATEMENT.finditer(text), maxlen=_LAST_STATEMENTS)):
        stated = text[statement.end() : statement.end() + MAX_ANSWER]
        stated = _LEAD.sub("", stated, count=1)
        end = _SENTENCE_END.search(stated)
        sentence = stated[: end.start()] if end else stated
        cut = not finished and (end is None or (end[0] != "\n" and end.end() == len(stated)))
        negated = _NEGATED.match(sentence)
        if not negated and not cut and (normal := number_normal(sentence)):
            return Extraction(sentence.strip(), normal)
        refused = refused or any(map(str.isdigit, sentence))
    if finished and not refused and (numbers := _numbers(plain(text[-MAX_ANSWER:]))):
        return Extraction(str(numbers[-1]), str(numbers[-1]))
    return NOTHING


def number_normal(answer: str) -> str | None:
    """Read the stated number as an exact fraction ("$1,234.50" -> "2469/2"); None where there is none."""
    number = _read(answer)
    return None if number is None else str(number)


def _read(answer: str) -> Fraction | None:
    """Read the first number right of the last `=`; None for an uncomputed sum or product."""
    stated = plain(answer).rpartition("=")[2]
    found = NUMBER.search(stated)
    if found is None or _UNCOMPUTED.match(stated, found.end()):
        return None
    return value_of(found)


def _numbers(text: str) -> list[Fraction]:
    values = (value_of(found) for found in NUMBER.finditer(text))
    return [value for value in values if value is not None]


def plain(text: str) -> str:
    """Remove the markup around a text's numbers."""
    text = text.replace("−", "-").replace("–", "-").replace("°", "")
    text = _LATEX_NOISE.sub(lambda noise: "," if noise[0] == "{,}" else "", text.replace("\\$", ""))
    return _FRACTION.sub(r" \1/\2", _WRAPPER.sub(r" \1 ", text))


def value_of(found: re.Match[str]) -> Fraction | None:
    """Evaluate a match of NUMBER; None where it has too many digits or the denominator 0."""
    whole = (found["whole"] or "0").replace(",", "")
    if len(found[0]) > _MAX_DIGITS or (found["denominator"] and not int(found["denominator"])):
        return None
    value = Fraction(whole + (found["decimals"] or "")) / int(found["denominator"] or 1)
    value += int((found["units"] or "0").replace(",", ""))
    return -value if found["sign"] == "-" else value


class Integer(Grader):
    """Grader of integers from 0 to 999."""

    name = "integer"

    def extract(self, text: str, *, finished: bool) -> Extraction:
        """Find the last box; it is closed, so the cut cannot have split it."""
        return integer_answer(text)

    def normal(self, answer: str) -> str | None:
        """Drop leading zeros."""
        return integer_normal(answer)


def integer_answer(text: str) -> Extraction:
    """Find the last box, required to hold an integer from 0 to 999 (AIME); leading zeros are dropped."""
    box = last_box(text)
    if box is None or len(box) > MAX_ANSWER:
        return NOTHING
    return Extraction(box, integer_normal(box))


def integer_normal(answer: str) -> str | None:
    """Read an integer from 0 to 999 ("025", "m+n=25", "25.0" -> "25"), else None."""
    stated = plain(answer).rpartition("=")[2]
    found = NUMBER.search(stated)
    if found is None or not _LABEL.fullmatch(stated[: found.start()]) or not _UNIT.fullmatch(stated[found.end() :]):
        return None
    number = value_of(found)
    in_range = number is not None and number.denominator == 1 and 0 <= number <= AIME_MAX
    return str(number) if in_range else None
