"""Grade answers in mathematics: equal in value and form, as math-verify decides but for its known traps."""

from __future__ import annotations

import re
from contextlib import suppress
from itertools import accumulate
from math import inf
from typing import Any, ClassVar

from hyperscale.grading.base import MAX_ANSWER, NOTHING, Extraction, Grader, last_box
from hyperscale.grading.latex import base_numeral, clean, is_text, normal_form, unit, units_clash, without_unit, words

_TOLERANCE = 5e-6
_MAX_BITS = 2**17
_MAX_NESTING = 40
_OR = re.compile(r"\\text ?\{ ?or ?\}|\\(?:lor|vee)(?![a-zA-Z])|(?<![a-zA-Z])or(?![a-zA-Z])|\\cup(?![a-zA-Z])")
_INEQUALITY = re.compile(r"[<>]|\\(?:le|leq|ge|geq|lt|gt)(?![a-zA-Z])")


class Math(Grader):
    """Grader of boxed answers, in value and form."""

    name = "math"
    compares = True
    probe = "0"
    imports: ClassVar[tuple[str, ...]] = ("math_verify",)

    def extract(self, text: str, *, finished: bool) -> Extraction:
        """Find the last box; it is closed, so the cut cannot have split it."""
        return math_answer(text)

    def normal(self, answer: str) -> str | None:
        """Bring an answer to a cheap normal form; any answer has one."""
        return normal_form(answer)

    def equal(self, gold: str, answer: str) -> bool:
        """Decide as `equivalent`."""
        return equivalent(gold, answer)


def math_answer(text: str) -> Extraction:
    """Find the last box (prompts ask for one); NOTHING beyond MAX_ANSWER characters."""
    box = last_box(text)
    return NOTHING if box is None or len(box) > MAX_ANSWER else Extraction(box, normal_form(box))


def equivalent(gold: str, answer: str) -> bool:
    """Decide whether `answer` equals `gold`. May be slow or hang: run it in a process that can be killed.

    math-verify decides, with its rules for the form of the gold (gold first: it is not symmetric), except where a
    careful human would not follow it: numerals in different bases, clashing units, a set for a tuple, words compared
    as products of letters, small decimals that agree in six places only.
    """
    gold_numeral, numeral = base_numeral(gold), base_numeral(answer)
    if gold_numeral or numeral:
        return gold_numeral == numeral
    if is_text(gold) or is_text(answer):
        return words(gold) is not None and words(gold) == words(answer)
    if units_clash(gold, answer) or _set_against_tuple(clean(gold), clean(answer)):
        return False
    gold, answer = clean(gold), clean(answer)
    if unit(gold) is not None and unit(gold) == unit(answer):
        # math-verify takes a bare "cm^2" for a product of variables.
        gold, answer = without_unit(gold), without_unit(answer)
    return _same_value(gold, answer)


def _set_against_tuple(gold: str, answer: str) -> bool:
    def kind(text: str) -> str:
        if "," not in text:
            return ""
        return "set" if text.startswith("\\{") else "tuple" if text.startswith("(") else ""

    return {kind(gold), kind(answer)} == {"set", "tuple"}


def _same_value(gold: str, answer: str) -> bool:
    from math_verify import verify

    if max(_nesting(gold), _nesting(answer)) > _MAX_NESTING:
        return False
    gold_value, answer_value = _parse(gold), _parse(answer)
    if gold_value is None or answer_value is None or max(_bits(gold_value), _bits(answer_value)) > _MAX_BITS:
        return False
    same = verify(gold_value, answer_value, allow_set_relation_comp=True, timeout_seconds=None)
    return bool(same) and ("%" in gold + answer or _close(gold_value, answer_value))


def _parse(text: str) -> Any:
    """Parse a text to a sympy object; the text itself where sympy has none for it, None where there is nothing."""
    from math_verify import LatexExtractionConfig, parse
    from sympy import Union

    parts = _OR.split(text)
    if len(parts) > 1 and all(_INEQUALITY.search(part) for part in parts):
        # math-verify reads "x<2 or x>3" as a set of two statements. Statements in two variables are not a set.
        with suppress(AttributeError, NotImplementedError):
            return Union(*(_parse(part).as_set() for part in parts))
    found = parse(f"${text}$", extraction_config=[LatexExtractionConfig()], parsing_timeout=None)
    return found[0] if found else None


def _nesting(text: str) -> int:
    """Count the depth of brackets; parsing takes seconds beyond a few hundred."""
    return max(accumulate((char in "([{") - (char in ")]}") for char in text), default=0)


def _bits(value: Any) -> float:
    """Bound the bits of the integers that evaluating `value` would write out (`9^{9^{9}}`: inf)."""
    import sympy

    if isinstance(value, sympy.Rational):
        return float(value.p.bit_length() + value.q.bit_length() - 1)
    arguments = [_bits(part) for part in getattr(value, "args", ())]
    if isinstance(value, sympy.Pow):
        base, exponent = arguments
        return inf if base and exponent > 20 else base * 2.0**exponent
    if isinstance(value, sympy.factorial):
        return inf if arguments[0] > 20 else arguments[0] * 2.0 ** arguments[0]
    return sum(arguments) if isinstance(value, sympy.Mul) else max(arguments, default=0)


def _close(gold: Any, answer: Any) -> bool:
    """Decide whether two constants agree in their leading digits; anything else passes.

    math-verify compares decimals in six places and differences with 1e-15, so that it takes all small numbers as equal.
    """
    if not all(getattr(value, "is_number", False) for value in (gold, answer)):
        return True
    try:
        numbers = [value.doit().evalf(15) for value in (gold, answer)]
        return any(number == 0 for number in numbers) or bool(abs(numbers[0] / numbers[1] - 1) <= _TOLERANCE)
    except (TypeError, ValueError):
        return True
