"""The contract of a grader: request, extraction, verdict, the class that plugins subclass; and how they read chains."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

MAX_ANSWER = 1000
"""Length of the longest accepted answer (characters); the longest gold of MATH-500 has 56."""

_OPEN, _CLOSE = "<think>", "</think>"
_BOX_TOKENS = re.compile(r"\\\\?(?:boxed|fbox)\s*\{|\\.|[{}]", re.DOTALL)


class GraderRef(NamedTuple):
    """A grader's name in any process: built-in, entry point or `PATH.py:NAME`; `pattern` where it takes one.

    `sha256` is of a plugin's source, where the grader must be that one and no edit of it.
    """

    name: str
    pattern: str | None = None
    sha256: str | None = None


class GradeRequest(NamedTuple):
    """One chain to grade.

    `text` is the model's output, after the chat template's own `<think>` where it opens the reasoning: without it a
    chain cut inside its reasoning would look like an answer. `finished`: the chain ended by itself, not at the cap.
    """

    grader: str | GraderRef | Grader
    text: str
    gold: str
    finished: bool


class Extraction(NamedTuple):
    """An answer found in a chain: as written, and in the normal form by which equal answers are grouped.

    `normal` is None where the answer lacks the form that its grader requires (an integer from 0 to 999,
    a number, a letter, a sum of three numbers): such an answer is wrong, and does not vote. `flag` is `timeout` where
    extraction took too long.
    """

    answer: str | None
    normal: str | None
    flag: str | None = None


NOTHING = Extraction(None, None)


class Verdict(NamedTuple):
    """The grade of a chain. `flag` is `timeout`, `error`, `unclosed_think` or None; of a program also
    `unclosed_fence`, `memory`, `output` or `processes`.

    The last three fields are set for code only, which two graders judge: a strict one, and the benchmark's own.
    """

    answer: str | None
    normal: str | None
    correct: bool
    flag: str | None
    strict: bool | None = None
    official: bool | None = None
    graders_differ: bool | None = None


def ungradable(gold: str, grader: str) -> ValueError:
    """Make the error for a gold answer that a grader cannot use."""
    return ValueError(f"gold answer {gold!r} cannot be graded by {grader!r}; check the task's answer column")


class Grader(ABC):
    """A grader of one kind of answer. Stateless: every process that needs one makes its own.

    A subclass sets `name` and defines `extract` and `normal`. An answer with the gold's normal form is right, and
    answers with one normal form vote together. Where equal answers may differ in normal form, set `compares` and
    define `equal`. `hyperscale.testing.check_grader` checks this contract.
    """

    name: ClassVar[str]
    """Name in task files and messages."""

    compares: ClassVar[bool] = False
    """True if `equal` decides where normal forms differ. It may be slow, hang or die: it runs in worker processes."""

    probe: ClassVar[str | None] = None
    """Answer to compare every other with first; one that hangs is a class of its own. None: compare it with itself."""

    imports: ClassVar[tuple[str, ...]] = ()
    """Slow modules that `equal` needs: a worker imports them before its time is measured."""

    takes_pattern: ClassVar[bool] = False
    """True if the constructor takes the task's `grader_pattern`."""

    sandboxed: ClassVar[bool] = False
    """True if answers are programs, run against the gold's tests in the sandbox."""

    @abstractmethod
    def extract(self, text: str, *, finished: bool) -> Extraction:
        """Find the answer in a text without its reasoning; NOTHING where there is none.

        In an unfinished text, ignore words that the cut may have split. Fast and total: on any text, long or hostile.
        """

    @abstractmethod
    def normal(self, answer: str) -> str | None:
        """Bring an answer, as written, to normal form; None where it lacks the required form."""

    def gold(self, text: str) -> str:
        """Bring a gold answer to normal form. ValueError where it cannot be graded."""
        normal = self.normal(text)
        if not normal:
            raise ungradable(text, self.name)
        return normal

    def right(self, gold: str, found: Extraction) -> bool:
        """Decide, without comparing, whether an answer is right; `gold` is in normal form."""
        return found.normal is not None and found.normal == gold

    def equal(self, gold: str, answer: str) -> bool:
        """Decide whether an answer equals the gold, both as written. Reflexive; need not be symmetric."""
        normal = self.normal(gold)
        return normal is not None and normal == self.normal(answer)


def visible_text(text: str) -> str | None:
    """Return the text after the last `</think>`; all of it without reasoning, None where reasoning never closed."""
    visible = text.rpartition(_CLOSE)[2]
    return None if _OPEN in visible else visible


def last_box(text: str) -> str | None:
    r"""Return the content of the last `\boxed{...}` that is balanced and not empty; None if there is none.

    "Last" is the box that opens last, so the inner one of two nested boxes. One pass, linear in the text, with or
    without unclosed boxes.
    """
    opened: list[tuple[int, bool]] = []
    last_start, content = -1, None
    for token in _BOX_TOKENS.finditer(text):
        mark = token.group()
        if mark.endswith("{") and mark != r"\{":
            opened.append((token.end(), mark != "{"))
        elif mark == "}" and opened:
            start, is_box = opened.pop()
            if is_box and start > last_start and (inside := text[start : token.start()].strip()):
                last_start, content = start, inside
    return content
