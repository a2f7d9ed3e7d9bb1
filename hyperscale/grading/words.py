"""Grade sets of words or numbers in any order, for retrieval tasks (RULER)."""

from __future__ import annotations

import re
from collections import deque

from hyperscale.grading.base import MAX_ANSWER, NOTHING, Extraction, Grader, last_box

_MARK = re.compile(r"\banswers?\b[ \t]*+\**+[ \t]*+(?:\b(?:is|are)\b[ \t]*+:?|:)", re.IGNORECASE)
_VERB = re.compile(r"\b(?:is|are)\b[ \t]*:?|:", re.IGNORECASE)
_LATEX = re.compile(r"\\(?:boxed|text(?:bf|tt|it|rm)?|mathrm|mathbf|mathtt)\s*(?=\{)|\\[()\[\],;! ]")
_GROUPED = re.compile(r"(?<![\w.,])\d{1,3}(?:,\d{3})+(?![\w,]|\.\d)")
_APART = re.compile(r"[\s,;{}]+")
_AROUND = "*`\"'“”‘’.:!?()[]<>$_"
_BETWEEN = frozenset({"", "and", "&", "var", "-", "•"})
"""Tokens between the words that do not count; `VAR` announces a variable in RULER."""


class Words(Grader):
    """Grader of sets of words."""

    name = "words"

    def extract(self, text: str, *, finished: bool) -> Extraction:
        """Find the words announced as the answer."""
        return words_answer(text, finished=finished)

    def normal(self, answer: str) -> str | None:
        """Sort the distinct words."""
        return words_normal(answer)


def words_answer(text: str, *, finished: bool) -> Extraction:
    r"""Find the words after the last `Answer:`, `answer is` or `answers are` of the text.

    They are the rest of its line, or where that is empty, the next lines down to an empty one. Without such a mark,
    the last box; without a box, a single-line text after its last `is`, `are` or `:`, or all of it. In an unfinished
    text the line, or the lines, must have ended, as the cut may have split a word.
    """
    if marks := deque(_MARK.finditer(text), maxlen=1):
        stated = _stated(text[marks[0].end() :], finished=finished)
    elif (stated := last_box(text)) is None and finished:
        stated = _only_line(text)
    if stated is None or len(stated := stated.strip()) > MAX_ANSWER:
        return NOTHING
    return Extraction(stated, words_normal(stated))


def words_normal(answer: str) -> str | None:
    """Join the distinct words, in lower case, sorted, by blanks; None if there are none.

    Markup and punctuation around a word do not count, nor does `and` or `VAR`; `1,234,567` is one number.
    """
    plain = _LATEX.sub(" ", _GROUPED.sub(lambda number: number[0].replace(",", ""), answer))
    words = {word.strip(_AROUND).casefold() for word in _APART.split(plain)} - _BETWEEN
    return " ".join(sorted(words)) or None


def _stated(behind: str, *, finished: bool) -> str | None:
    """Return the text that a mark announces; None where it is missing, or where the cut may have split it."""
    line, ended, rest = behind.partition("\n")
    if words_normal(line) is not None:
        return line if ended or finished else None
    paragraph, ended, _ = rest.lstrip().partition("\n\n")
    return paragraph if paragraph and (ended or finished) else None


def _only_line(text: str) -> str | None:
    line = text.strip()
    if not line or "\n" in line:
        return None
    return _VERB.split(line)[-1]
