"""Read the units of an answer: 7 m is not 7 cm, though math-verify drops both."""

from __future__ import annotations

import re

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
