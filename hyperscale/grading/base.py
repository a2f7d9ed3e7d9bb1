"""The contract of a grader: what grading is asked, what a grader does, what comes out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple


class GraderRef(NamedTuple):
    """Name a grader across processes: a built-in, an entry point or `PATH.py:NAME`; `pattern` where it takes one."""

    name: str
    pattern: str | None = None


class GradeRequest(NamedTuple):
    """One chain to grade.

    `text` is what the model wrote, and where the chat template itself opened the reasoning, that
    `<think>` in front of it: without it a chain cut inside its reasoning would look like an answer.
    `finished` says that the chain ended by itself, before the cap cut it off.
    """

    grader: str | GraderRef | Grader
    text: str
    gold: str
    finished: bool


class Extraction(NamedTuple):
    """An answer found in a chain: as written, and in the normal form by which equal answers are grouped.

    `normal` is None where the answer lacks the form that its grader demands (an integer from 0 to 999,
    a number, a letter, a sum of three numbers): such an answer is wrong, and does not vote. `flag` says why there
    is no answer where the text alone does not: `timeout`.
    """

    answer: str | None
    normal: str | None
    flag: str | None = None


NOTHING = Extraction(None, None)


class Verdict(NamedTuple):
    """The judgement on a chain. `flag` is `timeout`, `error`, `unclosed_think` or None; of a program also
    `unclosed_fence`, `memory`, `output` or `processes`.

    The last three are set for code only, which two graders judge: a strict one, and the benchmark's own.
    """

    answer: str | None
    normal: str | None
    correct: bool
    flag: str | None
    strict: bool | None = None
    official: bool | None = None
    graders_differ: bool | None = None


def ungradable(gold: str, grader: str) -> ValueError:
    """Error for a gold answer that a grader cannot work with."""
    return ValueError(f"gold answer {gold!r} cannot be graded by {grader!r}; check the task's answer column")


class Grader(ABC):
    """Judge the answers of one kind of task. Stateless: every process that needs one makes its own.

    A subclass sets `name` and writes `extract` and `normal`. An answer is right whose normal form is the gold's, and
    answers of one normal form vote together. Where more answers are equal than share a form, set `compares` and
    write `equal`. `hyperscale.testing.check_grader` holds a grader to this contract.
    """

    name: ClassVar[str]
    """As in messages."""

    compares: ClassVar[bool] = False
    """`equal` decides where normal forms differ. It may be slow, hang or die: it runs in worker processes."""

    probe: ClassVar[str | None] = None
    """An answer with which any other is compared first: what hangs then stays alone. None: the answer itself."""

    imports: ClassVar[tuple[str, ...]] = ()
    """Modules that `equal` needs and that load slowly: a process imports them before its time is measured."""

    takes_pattern: ClassVar[bool] = False
    """Constructed with the task's `grader_pattern`."""

    sandboxed: ClassVar[bool] = False
    """Answers are programs: they are not compared but run against the gold's tests in the sandbox."""

    @abstractmethod
    def extract(self, text: str, *, finished: bool) -> Extraction:
        """Find the answer in a text whose reasoning has been taken off; NOTHING where there is none.

        Of an unfinished text, distrust what the cut may have split. Fast and total: any text, however long or hostile.
        """

    @abstractmethod
    def normal(self, answer: str) -> str | None:
        """Bring an answer, as written, into normal form; None where it lacks the form that is demanded."""

    def gold(self, text: str) -> str:
        """Bring a gold answer into normal form. ValueError where it cannot be graded."""
        normal = self.normal(text)
        if not normal:
            raise ungradable(text, self.name)
        return normal

    def right(self, gold: str, found: Extraction) -> bool:
        """Decide, without comparing, whether an answer meets the gold; `gold` is in normal form."""
        return found.normal is not None and found.normal == gold

    def equal(self, gold: str, answer: str) -> bool:
        """Decide whether an answer says what the gold says, both as written. Reflexive; need not be symmetric."""
        normal = self.normal(gold)
        return normal is not None and normal == self.normal(answer)
