"""Rewrite an answer in LaTeX so that math-verify reads it as a human does, into a cheap normal form; read its unit."""

from __future__ import annotations

import re
from fractions import Fraction

_UNICODE = str.maketrans(
    {
        "−": "-", "–": "-", "—": "-", "×": r"\times ", "·": r"\cdot ", "÷": r"\div ", "π": r"\pi ",
        "°": r"^\circ", "∞": r"\infty ", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "∪": r"\cup ",
        "∩": r"\cap ", "∈": r"\in ", "±": r"\pm ", "√": r"\sqrt ", "∅": r"\emptyset ", "ℝ": r"\mathbb{R}",
        "½": r"\frac{1}{2}", "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}", "²": "^2", "³": "^3", "θ": r"\theta ",
        "\u00a0": " ", "\u202f": " ",
    }
)  # fmt: skip
_REWRITES = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        # Spacing and delimiters without meaning. `\\` ends a row of a matrix, hence the look-behinds.
        (r"\s+", " "),
        (r"(?<!\\)\\[()\[\]]", ""),
        (r"(?<!\\)\\(?:left|right)(?![a-zA-Z])", ""),
        (r"(?<!\\)\\!\s*|\\displaystyle(?![a-zA-Z])", ""),
        (r"(?<=\d)(?:\\[,;: ]|~|\{,\})(?=\d{3}(?!\d))", ","),
        (r"(?<!\\)\\(?:[,;: ]|q?quad(?![a-zA-Z]))|~", " "),
        (r"\\?\$", ""),
        (r"^\*\*(.*)\*\*$", r"\1"),
        (r"\\(?:underline(?![a-zA-Z])|(?:text)?color ?\{\w+\})", ""),
        (r"^= ?", ""),
        (r"^\{([^{}]*)\}$", r"\1"),
        # One spelling of each symbol.
        (r"\\[dtc]frac(?![a-zA-Z])", r"\\frac"),
        (r"\\mathrm ?\{i\}", "i"),
        (r"\\varnothing(?![a-zA-Z])", r"\\emptyset"),
        (r"\\lbrace(?![a-zA-Z])", r"\\{"),
        (r"\\rbrace(?![a-zA-Z])", r"\\}"),
        (r"(?<![a-zA-Z\\])pi(?![a-zA-Z])", r"\\pi"),
        # A number in \text is a number; after "or" comes a further answer, not a unit.
        (r"\\(?:text|mbox|mathrm|textbf|mathbf) ?\{ ?([-+]?\d[\d.,]*) ?\}", r"\1"),
        (r"\\(?:text|mbox|mathrm) ?\{ ?\(? ?(?:or|and) ([^{}()]*\d[^{}()]*)\)? ?\}", r", \1"),
        (r"^\\(?:text|mbox|mathrm|textbf|mathbf) ?\{([^{}]*\d[^{}]*)\}$", r"\1"),
        # Programmers' notation: math-verify reads 6e3 as 6*E*3, and ** not at all.
        (r"(?<![\w\\])(\d+(?:\.\d+)?)[eE]([-+]?\d+)(?![\w{])", r"\1 \\times 10^{\2}"),
        (r"\*\*|\^(?=-?\d{2})", "^"),
        (r"\^(-?\d{2,})", r"^{\1}"),
        # "137 1/2" is read as 69, "1 000" as 0.
        (r"^(-?\d+) (\d+) ?/ ?(\d+)$", r"\1\\frac{\2}{\3}"),
        (r"^(-?\d{1,3}) (?=\d{3}(?: \d{3})*$)", r"\1,"),
        (r"(?:[.,; ]|\\)+$", ""),
    )
]
_REPEATING = re.compile(r"(?P<whole>\d*)\.(?P<head>\d*)\\(?:overline|bar) ?\{(?P<period>\d{1,30})\}")
_DECIMAL = re.compile(r"(?P<sign>[-+]?)(?P<whole>\d{1,3}(?:,\d{3})+|\d*)(?:\.(?P<decimals>\d*))?")
_TEXT = re.compile(r"\\(?:text(?:bf|it|rm)?|mbox|mathrm|mathbf) ?\{([^{}]*)\}")
_BASE = re.compile(r"\(?([-+]?[0-9A-Z.]+)\)?_(?:\{(?:\\text\{)?)?(\d+)\}{0,2}")

_NAMES = {
    "mm": "mm millimeter millimetre",
    "cm": "cm centimeter centimetre",
    "m": "m meter metre",
    "km": "km kilometer kilometre",
    "in": "in inch inche",
    "ft": "ft foot feet",
    "yd": "yd yard",
    "mi": "mi mile",
    "s": "s sec second",
    "min": "min minute",
    "h": "h hr hour",
    "day": "day",
    "week": "week",
    "month": "month",
    "year": "yr year",
    "g": "g gram",
    "kg": "kg kilogram",
    "lb": "lb pound",
    "L": "l liter litre",
    "mL": "ml milliliter millilitre",
    "dollar": "dollar",
    "cent": "cent",
    "degree": "deg degree",
    "radian": "rad radian",
    "unit": "unit",
    "mi/h": "mph",
    "km/h": "kmh kph",
}
_UNIT_OF = {name: unit for unit, names in _NAMES.items() for name in names.split()}
_IN_TEXT = re.compile(
    r"\\(?:text|mbox|mathrm|textrm)\s*\{\s*\.?\s*([^{}]*?)\.?\s*\}\s*(?:\^\s*\{?\s*(\d)\s*\}?)?\s*\.?$"
)
_PLAIN = re.compile(r"(?<=[\d}])\s*([a-zA-Z/]+(?: [a-z]+){0,2})\.?\s*(?:\^\s*\{?\s*(\d)\s*\}?)?\s*\.?$")
_POWER_WORDS = {"square": "2", "sq": "2", "cubic": "3", "cu": "3"}


def clean(answer: str) -> str:
    """Strip an answer of markup without meaning, and spell it as math-verify reads it correctly."""
    text = answer.translate(_UNICODE).strip()
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text).strip()
    return _REPEATING.sub(_repeating_fraction, text)


def normal_form(answer: str) -> str:
    """Bring an answer to a cheap normal form: answers that share it are equal; equal answers need not share it."""
    text = clean(answer)
    if (number := _DECIMAL.fullmatch(text)) and (number["whole"] or number["decimals"]):
        whole = number["whole"].replace(",", "").lstrip("0") or "0"
        decimals = (number["decimals"] or "").rstrip("0")
        value = f"{whole}.{decimals}" if decimals else whole
        return f"-{value}" if number["sign"] == "-" and value != "0" else value
    # A space between digits tells "1 4" from "14", one after a command ends it ("\pi r").
    text = re.sub(r"(\\[a-zA-Z]+) (?=[a-zA-Z])", r"\1{}", text)
    return re.sub(r"(?<!\d) | (?!\d)", "", text)


def words(answer: str) -> str | None:
    r"""Read a text answer (`\text{(C)}` -> "c", "an Ellipse." -> "ellipse"); None if it is not just words."""
    plain = _TEXT.sub(r" \1 ", clean(answer)).casefold()
    plain = " ".join(re.sub(r"[(){}.,:;'\"]", " ", plain).split())
    plain = re.sub(r"^(?:a|an|the) (?=\w)", "", plain)
    return plain if re.fullmatch(r"[^\W\d_]+(?:[ -][^\W\d_]+)*", plain) else None


def is_text(answer: str) -> bool:
    r"""Tell whether the answer is nothing but words in a `\text{...}`."""
    text = clean(answer)
    return bool(_TEXT.fullmatch(text)) and words(text) is not None


def base_numeral(answer: str) -> tuple[str, int] | None:
    """Read digits and base of a numeral such as `2516_8`; None in base ten or without a base."""
    numeral = _BASE.fullmatch(clean(answer).replace(" ", ""))
    if numeral is None or numeral[2] == "10":
        return None
    return numeral[1].lstrip("+"), int(numeral[2])


def _repeating_fraction(found: re.Match[str]) -> str:
    head, period = found["head"], found["period"]
    tail = Fraction(int(period), 10 ** len(head) * (10 ** len(period) - 1))
    value = Fraction(f"{found['whole'] or 0}.{head or 0}") + tail
    return rf"\frac{{{value.numerator}}}{{{value.denominator}}}"


def unit(answer: str) -> str | None:
    r"""Find the known unit at the end of an answer (`864 \mbox{ inches}^2` -> "in^2", `\$5` -> "dollar"), else None."""
    text = " ".join(answer.split())
    if text.startswith(("\\$", "$")) and not text.endswith("$"):
        return "dollar"
    if re.search(r"\\circ\s*\}?\s*$|°$", text):
        return "degree"
    found = _IN_TEXT.search(text) or _PLAIN.search(text)
    if found is None:
        return None
    *before, name = found[1].casefold().replace(" per ", "/").split() or [""]
    power = found[2] or next((_POWER_WORDS[word] for word in before if word in _POWER_WORDS), "")
    parts = [_UNIT_OF.get(part) or _UNIT_OF.get(part.removesuffix("s")) for part in name.split("/")]
    known = "/".join(part for part in parts if part)
    return (f"{known}^{power}" if power else known) if all(parts) else None


def without_unit(answer: str) -> str:
    r"""Remove the known unit after an answer's number (`15 cm^2` -> "15")."""
    text = " ".join(answer.split())
    if unit(text) is None:
        return text
    found = _IN_TEXT.search(text) or _PLAIN.search(text)
    return text[: found.start()].strip() if found else text


def units_clash(gold: str, answer: str) -> bool:
    """Tell whether both have a known unit, and different ones."""
    gold_unit, answer_unit = unit(gold), unit(answer)
    return gold_unit is not None and answer_unit is not None and gold_unit != answer_unit
