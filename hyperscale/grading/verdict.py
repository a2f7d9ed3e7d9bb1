"""What grading is asked and what it answers."""

from __future__ import annotations

from typing import Literal, NamedTuple

Grader = Literal["math", "integer", "number", "choice", "final", "countdown", "words", "code"]


class GradeRequest(NamedTuple):
    """One chain to grade.

    `text` is what the model wrote, and where the chat template itself opened the reasoning, that
    `<think>` in front of it: without it a chain cut inside its reasoning would look like an answer.
    `finished` says that the chain ended by itself, before the cap cut it off.
    """

    grader: str
    text: str
    gold: str
    finished: bool


class Extraction(NamedTuple):
    """An answer found in a chain: as written, and in the normal form by which equal answers are grouped.

    `normal` is None where the answer lacks the form that its grader demands (an integer from 0 to 999,
    a number, a letter, a sum of three numbers): such an answer is wrong, and does not vote.
    """

    answer: str | None
    normal: str | None


class Verdict(NamedTuple):
    """What became of a chain. `flag` is `timeout`, `error`, `unclosed_think` or None; of a program also
    `unclosed_fence`, `memory`, `output` or `processes`.

    The last three speak of code only, which two graders judge: a strict one, and the benchmark's own.
    """

    answer: str | None
    normal: str | None
    correct: bool
    flag: str | None
    strict: bool | None = None
    official: bool | None = None
    graders_differ: bool | None = None


NOTHING = Extraction(None, None)
