"""Grade letters of a multiple choice (GPQA)."""

from __future__ import annotations

import re

from hyperscale.grading.base import NOTHING, Extraction, Grader, ungradable

_STYLE = r"\\(?:text|textbf|mathrm|mathbf)\s*\{"
_BEFORE = rf"(?:[\s:：*$({{\[\"“`]|\\[(\[]|\\boxed\s*\{{|{_STYLE})*+"
_AFTER = r"(?:[\s)}\]*$.\"”`]|\\[)\]])*+"
_LETTER = (
    r"(?:(?P<{0}>[A-D])(?![A-Za-z0-9'_^=+]|-[A-Za-z0-9])"
    r"|(?P<{1}>[a-d])(?=\)\s|(?:[ \t\r)}}.*$\]\"”`]|\\[)\]])*+$))"
)
_ANSWER = re.compile(
    rf"(?:(?i:\b(?:answer|choice|option)\b)\**\s*(?i:(?:is|(?:must|should|would|has\s+to)\s+be)\b|[:：]){_BEFORE}"
    rf"(?i:(?:option|choice)\s+)?{_BEFORE}{_LETTER.format('u1', 'l1')}"
    rf"|\\boxed\s*\{{[\s(*]*+(?:{_STYLE}[\s(*]*+)*+{_LETTER.format('u2', 'l2')}"
    rf"|\A\W*{_LETTER.format('u3', 'l3')}\W*\Z)",
    re.MULTILINE,
)
# "A, B" names two; "C, A is too small" names one and discusses another.
_ANOTHER_FOLLOWS = re.compile(
    rf"{_AFTER}(?:(?:\bor\b|\band\b|/){_BEFORE}[A-D](?![A-Za-z])"
    rf"|,{_BEFORE}[A-D](?![A-Za-z]){_AFTER}(?:\Z|,|or\b|and\b|are\b|(?<=\n)))"
)


class Choice(Grader):
    """Grader of letters from A to D."""

    name = "choice"

    def extract(self, text: str, *, finished: bool) -> Extraction:
        """Find the last letter given as the answer."""
        return choice_answer(text, finished=finished)

    def normal(self, answer: str) -> str | None:
        """Bring the letter to upper case; None for another answer."""
        letter = answer.strip().upper()
        return letter if letter in ("A", "B", "C", "D") else None

    def gold(self, text: str) -> str:
        """Check that the gold is a capital letter, as the task sets it."""
        if self.normal(text) != text:
            raise ungradable(text, self.name)
        return text


def choice_answer(text: str, *, finished: bool) -> Extraction:
    r"""Find the last letter A-D given as the answer: `Answer: C`, `**(C)**`, `\boxed{C}`, or only C.

    The last one, as models correct themselves; "A or B" is not an answer, nor is a letter at the end of an
    unfinished text, where the cut may have split a word.
    """
    cut = len(text) + 1 if finished else len(text.rstrip(" \t"))
    letter, end = None, 0
    for found in _ANSWER.finditer(text):
        group = found.lastgroup
        assert group is not None, "every alternative has a letter"
        if found.end(group) < cut:
            letter, end = found[group], found.end(group)
    if letter is None or _ANOTHER_FOLLOWS.match(text, end):
        return NOTHING
    return Extraction(letter, letter.upper())
