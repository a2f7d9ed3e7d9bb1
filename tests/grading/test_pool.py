from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from hyperscale.grading import GradeRequest, GradingPool, gold_normal

HANGS = r"\boxed{\binom{100000000}{50000000}}"


def request(text: str, gold: str = "5", grader: str = "math") -> GradeRequest:
    return GradeRequest(grader, text, gold, True)


def test_what_hangs_is_killed_wrong_and_flagged_and_the_rest_is_graded_in_order() -> None:
    with GradingPool(workers=1, timeout=1.0) as pool:
        verdicts = pool.grade([request(r"\boxed{10/2}"), request(HANGS), request(r"\boxed{2+3}"), request("none")])
        assert [(verdict.correct, verdict.flag) for verdict in verdicts] == [
            (True, None),
            (False, "timeout"),
            (True, None),
            (False, None),
        ]
        start = time.monotonic()
        assert pool.grade([request(HANGS)])[0].flag == "timeout"
        assert time.monotonic() - start < 0.5, "a verdict is remembered"


def test_a_worker_that_dies_is_replaced_and_its_item_flagged() -> None:
    with GradingPool(workers=1, timeout=60.0) as pool:
        assert pool.grade([request(r"\boxed{10/2}")])[0].correct
        threading.Thread(target=_kill_busy_child).start()
        verdicts = pool.grade([request(HANGS), request(r"\boxed{15/3}")])
        assert [(verdict.correct, verdict.flag) for verdict in verdicts] == [(False, "error"), (True, None)]


def test_closing_lets_go_of_whoever_waits_for_a_verdict() -> None:
    pool = GradingPool(workers=1, timeout=600.0)
    errors: list[BaseException] = []

    def grade() -> None:
        try:
            pool.grade([request(HANGS), *(request(rf"\boxed{{2+{n}}}") for n in range(20))])
        except RuntimeError as error:
            errors.append(error)

    assert pool.grade([request(r"\boxed{10/2}")])[0].correct
    waiting = threading.Thread(target=grade, daemon=True)
    waiting.start()
    time.sleep(0.3)
    pool.close()
    waiting.join(20)
    assert not waiting.is_alive()
    assert [str(error) for error in errors] == ["the grading pool is closed"]
    with pytest.raises(RuntimeError, match="closed"):
        pool.grade([request(r"\boxed{20/4}")])


def _kill_busy_child() -> None:
    while True:
        for child in psutil.Process().children(recursive=True):
            times = child.cpu_times()
            before = times.user + times.system
            time.sleep(0.3)
            times = child.cpu_times()
            if times.user + times.system - before > 0.1:
                child.kill()
                return


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not cap an address space")
def test_the_memory_of_a_worker_is_capped() -> None:
    script = "from hyperscale.grading.pool import _start_worker\n_start_worker('math')\nbytearray(3 << 30)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stderr.strip().endswith("MemoryError")


def test_easy_graders_start_no_process() -> None:
    script = (
        "from hyperscale.grading import GradeRequest, GradingPool\n"
        "import sys, psutil\n"
        "with GradingPool() as pool:\n"
        "    print(pool.grade([GradeRequest('integer', r'\\boxed{5}', '005', True)])[0].correct)\n"
        "print(psutil.Process().children(), 'sympy' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["True", "[] False"]


def test_classes_group_equal_answers_and_leave_out_missing_ones(pool: GradingPool) -> None:
    texts = [r"\frac12", "0.5", None, "1,2", "2,1", r"\frac{2}{4}", "3", r"\{1,2\}", "0.5"]
    answers = [
        (verdict.answer, verdict.normal)
        for verdict in pool.grade([request("" if text is None else rf"\boxed{{{text}}}") for text in texts])
    ]
    assert pool.classes("math", answers) == [0, 0, -1, 1, 1, 0, 2, 1, 0]


def test_classes_need_equality_in_both_directions(pool: GradingPool) -> None:
    # A gold tuple is matched by (2, 1) alone; math-verify takes a set for it only in one direction.
    assert pool.classes("math", [("(2,1)", "(2,1)"), ("1,2", "1,2")]) == [0, 1]


def test_an_answer_without_the_form_of_its_grader_does_not_vote(pool: GradingPool) -> None:
    verdicts = pool.grade([request(rf"\boxed{{{text}}}", "7", "integer") for text in ("007", "1/2", "7", "1000")])
    assert [verdict.correct for verdict in verdicts] == [True, False, True, False]
    answers = [(verdict.answer, verdict.normal) for verdict in verdicts]
    assert pool.classes("integer", answers) == [0, -1, 0, -1]


HANGING = """
import time
from hyperscale.grading.math import Math

class Hanging(Math):
    imports = ()

    def equal(self, gold, answer):
        if "hang" in gold + answer:
            time.sleep(600)
        return gold.lower() == answer.lower()
"""


def test_answers_that_cannot_be_compared_stay_alone_and_keep_none_from_their_equals(tmp_path: Path) -> None:
    (tmp_path / "hanging.py").write_text(HANGING)
    with GradingPool(workers=2, timeout=2.0) as pool:
        answers = [(text, text) for text in ("hang 1", "a", "hang 2", "A", "b")]
        assert pool.classes(f"{tmp_path}/hanging.py:Hanging", answers) == [0, 1, 2, 1, 3]


@pytest.mark.parametrize(
    ("grader", "gold"), [("integer", "n/a"), ("integer", "1000"), ("number", "many"), ("choice", "E"), ("math", "")]
)
def test_a_gold_that_cannot_be_graded_is_refused(grader: str, gold: str) -> None:
    with pytest.raises(ValueError, match="gold answer"):
        gold_normal(grader, gold)


def test_refuses_an_unknown_grader_and_a_pool_without_workers() -> None:
    with pytest.raises(ValueError, match="unknown grader 'maths'; did you mean 'math'"):
        gold_normal("maths", "5")
    with pytest.raises(ValueError, match="worker"):
        GradingPool(workers=0)
    with pytest.raises(ValueError, match="time limit"):
        GradingPool(timeout=0)
