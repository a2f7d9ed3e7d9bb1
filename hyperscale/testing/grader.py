"""Check a grader against its contract, on examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

from hyperscale.grading import Grader, GradeRequest, GraderRef, GradingPool, load_grader
from hyperscale.grading.code import CodeGrader

_SECONDS = 60.0
"""Limit on one comparison, long as speed is not tested."""


def check_grader(
    grader: str | GraderRef | Grader,
    golds: Mapping[str, str],
    wrong: Sequence[str],
    programs: CodeGrader | None = None,
) -> None:
    """Check a grader against its contract; AssertionError says how it breaks it.

    `golds`: gold answers, each with a finished text that is right and states its answer once. `wrong`: finished texts
    that are right for none of them. `grader`: an instance, or the name or `PATH.py:NAME` in task files, which worker
    processes load as in a sweep. `programs` is closed at the end.

    1. A gold has a normal form, the same each time; an empty gold is refused with a ValueError.
    2. A gold's text is right, a wrong one is not, and neither is flagged.
    3. An empty text has no answer. A text cut anywhere has none either, or the whole text's.
    4. `normal` of an answer as written equals its extraction's normal form. An answer without one does not vote.
    5. `equal` is reflexive, holds for answers of one normal form, and votes do not depend on the answers' order.
    """
    made = load_grader(grader)
    assert golds, "give at least one gold"
    with GradingPool(workers=1, timeout=_SECONDS, programs=programs) as pool:
        _check_golds(made, golds)
        _check_verdicts(pool, grader, golds, wrong)
        _check_cuts(made, golds)
        _check_classes(pool, grader, [*golds.values(), *wrong])


def _check_golds(grader: Grader, golds: Mapping[str, str]) -> None:
    assert grader.name, "a grader has a name"
    for gold in golds:
        normal = grader.gold(gold)
        assert normal, f"gold {gold!r} has an empty normal form"
        assert grader.gold(gold) == normal, f"gold {gold!r} has another normal form each time"
    refusal = _refusal(grader, "")
    assert refusal is not None, "an empty gold must be refused with a ValueError"
    assert "\n" not in refusal, f"a refusal is one line, not {refusal!r}"


def _refusal(grader: Grader, gold: str) -> str | None:
    try:
        grader.gold(gold)
    except ValueError as error:
        return str(error)
    return None


def _check_verdicts(
    pool: GradingPool, grader: str | GraderRef | Grader, golds: Mapping[str, str], wrong: Sequence[str]
) -> None:
    for gold, text in golds.items():
        (verdict,) = pool.grade([GradeRequest(grader, text, gold, True)])
        assert verdict.correct, f"gold {gold!r}: {text!r} should be right, found {verdict}"
        assert verdict.flag is None, f"gold {gold!r}: {text!r} is flagged {verdict.flag}"
        empty, unclosed = pool.grade(
            [GradeRequest(grader, "", gold, True), GradeRequest(grader, f"<think>{text}", gold, True)]
        )
        assert empty[:3] == (None, None, False), f"an empty text has no answer, found {empty}"
        assert unclosed[:4] == (None, None, False, "unclosed_think"), "reasoning that never ends has no answer"
        for other in wrong:
            (verdict,) = pool.grade([GradeRequest(grader, other, gold, True)])
            assert not verdict.correct, f"gold {gold!r}: {other!r} should be wrong, found {verdict}"


def _check_cuts(grader: Grader, golds: Mapping[str, str]) -> None:
    for text in golds.values():
        whole = grader.extract(text, finished=True)
        for end in range(len(text)):
            found = grader.extract(text[:end], finished=False)
            assert found.answer is None or found.normal == whole.normal, (
                f"cut to {text[:end]!r}, the answer is {found.answer!r}; of the whole text it is {whole.answer!r}"
            )


def _check_classes(pool: GradingPool, grader: str | GraderRef | Grader, texts: Sequence[str]) -> None:
    made = load_grader(grader)
    found = [made.extract(text, finished=True) for text in texts]
    answers = [(each.answer, each.normal) for each in found if each.answer is not None]
    for answer, normal in answers:
        assert made.normal(answer) == normal, f"{answer!r}: normal form {made.normal(answer)!r}, extracted {normal!r}"
    assert pool.classes(grader, [(None, None), ("x", None)]) == [-1, -1], "a missing answer votes"
    voting = [(answer, normal) for answer, normal in answers if normal is not None]
    for one, other in product(voting, repeat=2):
        if one[1] == other[1]:
            assert made.equal(one[0], other[0]), f"{one[0]!r} is not equal to {other[0]!r}, of the same normal form"
        there, back = pool.classes(grader, [one, other]), pool.classes(grader, [other, one])
        assert there == back, f"{one[0]!r} and {other[0]!r} vote together in one order only"
