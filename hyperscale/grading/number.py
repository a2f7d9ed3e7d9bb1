"""Answers that are plain numbers: AIME's integers from 0 to 999, and the numbers of GSM8K and arithmetic."""

from __future__ import annotations

import re
from collections import deque
from fractions import Fraction

from hyperscale.grading.extract import MAX_ANSWER, last_box
from hyperscale.grading.verdict import NOTHING, Extraction

AIME_MAX = 999
_MAX_DIGITS = 100

_LATEX_NOISE = re.compile(
    r"\\(?:left|right|displaystyle|q?quad|[,!;: ()\[\]])|\{,\}(?=\d{3})|\^\s*\{?\\circ\}?|[$~]|(?<!\d)\*\*|\*\*(?!\d)"
)
_WRAPPER = re.compile(r"\\(?:text(?:bf|rm|it)?|mathrm|mathbf|mbox)\s*\{([^{}]*)\}")
_FRACTION = re.compile(r"\\[dtc]?frac\s*\{\s*(-?\d+)\s*\}\s*\{\s*(-?\d+)\s*\}")
_NUMBER = re.compile(
    r"(?<![\w.])(?:(?<![\d)] )(?P<sign>[-+]) ?)?(?:[€£] ?)?"
    r"(?:(?P<units>\d{1,3}(?:,\d{3})+|\d+) +(?=\d+ ?/ ?\d))?"
    r"(?P<whole>\d{1,3}(?:,\d{3})+(?!\d)|\d+)?(?P<decimals>\.\d+)?(?<=\d)"
    r"(?:\s*/\s*(?P<denominator>\d+))?"
)
_LABEL = re.compile(r"[\s{]*(?:[A-Za-z][A-Za-z ]*[: ]\s*)?")
_UNIT = re.compile(r"[\s}]*(?:\s(?!(?:or|and)\b)[A-Za-z][A-Za-z ]*)?[\s.]*")
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


def integer_answer(text: str) -> Extraction:
    """Last box of the text, required to hold an integer from 0 to 999 (AIME); leading zeros are dropped."""
    box = last_box(text)
    if box is None or len(box) > MAX_ANSWER:
        return NOTHING
    return Extraction(box, integer_normal(box))


def integer_normal(answer: str) -> str | None:
    """The integer from 0 to 999 that the answer is ("025", "m+n=25", "25.0" -> "25"), else None."""
    stated = _plain(answer).rpartition("=")[2]
    found = _NUMBER.search(stated)
    if found is None or not _LABEL.fullmatch(stated[: found.start()]) or not _UNIT.fullmatch(stated[found.end() :]):
        return None
    number = _value(found)
    in_range = number is not None and number.denominator == 1 and 0 <= number <= AIME_MAX
    return str(number) if in_range else None


def number_answer(text: str, *, finished: bool) -> Extraction:
    r"""The number that the text gives as its answer (GSM8K, arithmetic).

    In this order: the last box, if it holds a number; the last statement `#### X`, `the answer is X` or
    `answer: X` that does; the last number of the text, but only of a chain that ended by itself and stated
    nothing else: what it denied ("is not 18") or left uncomputed ("6 + 12") is no answer. In an unfinished
    chain the statement's sentence must have ended, as the cut may have split its number.
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
    if finished and not refused and (numbers := _numbers(_plain(text[-MAX_ANSWER:]))):
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
    if found is None or _UNCOMPUTED.match(stated, found.end()):
        return None
    return _value(found)


def _numbers(text: str) -> list[Fraction]:
    values = (_value(found) for found in _NUMBER.finditer(text))
    return [value for value in values if value is not None]


def _plain(text: str) -> str:
    text = text.replace("−", "-").replace("–", "-").replace("°", "")
    text = _LATEX_NOISE.sub(lambda noise: "," if noise[0] == "{,}" else "", text.replace("\\$", ""))
    return _FRACTION.sub(r" \1/\2", _WRAPPER.sub(r" \1 ", text))


def _value(found: re.Match[str]) -> Fraction | None:
    whole = (found["whole"] or "0").replace(",", "")
    if len(found[0]) > _MAX_DIGITS or (found["denominator"] and not int(found["denominator"])):
        return None
    value = Fraction(whole + (found["decimals"] or "")) / int(found["denominator"] or 1)
    value += int((found["units"] or "0").replace(",", ""))
    return -value if found["sign"] == "-" else value
