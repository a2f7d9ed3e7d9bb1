"""Answers that are letters of a multiple choice (GPQA)."""

from __future__ import annotations

import re

from hyperscale.grading.verdict import NOTHING, Extraction

_BEFORE = r"[\s:*$({\[]*(?:\\(?:boxed|text|textbf|mathrm|mathbf)\s*\{[\s(*]*)*"
_LETTER = r"(?:(?P<{0}>[A-D])(?![A-Za-z0-9'])|(?P<{1}>[a-d])(?=[\s)}}.*$\]]*$))"
_ANSWER = re.compile(
    rf"(?:(?i:\b(?:answer|choice|option)\b)\**\s*(?i:is|:){_BEFORE}(?i:(?:option|choice)\s+)?"
    rf"[(*]*{_LETTER.format('u1', 'l1')}"
    rf"|\\boxed\s*\{{[\s(*]*(?:\\(?:text|textbf|mathrm|mathbf)\s*\{{[\s(*]*)*{_LETTER.format('u2', 'l2')}"
    rf"|\A\W*{_LETTER.format('u3', 'l3')}\W*\Z)",
    re.MULTILINE,
)
_ANOTHER_FOLLOWS = re.compile(r"[\s)}*$.]*(?:\bor\b|\band\b|/|,)\s*[(*]*[A-D](?![A-Za-z])")


def choice_answer(text: str) -> Extraction:
    r"""Last letter A-D that the text gives as its answer: `Answer: C`, `**(C)**`, `\boxed{C}`, or only C.

    The last one, as models correct themselves; "A or B" is no answer.
    """
    last = None
    for found in _ANSWER.finditer(text):
        last = found
    if last is None or _ANOTHER_FOLLOWS.match(text, last.end()):
        return NOTHING
    letter = next(group for group in last.groups() if group)
    return Extraction(letter, letter.upper())
