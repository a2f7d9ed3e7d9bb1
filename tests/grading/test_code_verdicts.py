"""Programs under both graders, each in a real sandbox: where they agree, and where LiveCodeBench's is odd."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hyperscale.grading import GradeRequest, GradingPool
from hyperscale.grading.code import Cases, Check, CodeGrader, official, strict
from hyperscale.grading.code.strict import Outcome
from hyperscale.sandbox import Limits, Sandbox, open_sandbox
from tests import namespaces
from tests.shared_data import shared_rows

pytestmark = namespaces.needed

OWN = Path(__file__).parent / "lcb"
QUICK = Limits(cpu_seconds=1, wall_seconds=2.0)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    opened = open_sandbox()
    yield opened
    opened.close()


def stdin(*cases: tuple[str, str]) -> Cases:
    return Cases(public=json.dumps([{"input": given, "output": wanted} for given, wanted in cases]), private="[]")


def function(name: str, *cases: tuple[str, str]) -> Cases:
    return stdin(*cases).model_copy(update={"function": name})


SUMS = stdin(("1 2\n3 4\n", "3\n7\n"), ("5 6\n7 8\n", "11\n15\n"))

# What LiveCodeBench's grader said of programs of these shapes when it was run: each is right.
QUIRKS = {
    "input() twice": ("for _ in range(2): print(sum(map(int, input().split())))", True),
    "sys.stdin.readline": ("import sys\nfor _ in range(2): print(sum(map(int, sys.stdin.readline().split())))", True),
    "sys.stdin.read": (
        "import sys\nfor l in sys.stdin.read().strip().split('\\n'): print(sum(map(int, l.split())))", True,
    ),
    "buffer.read": (
        "import sys\nfor l in sys.stdin.buffer.read().split(b'\\n')[:2]: print(sum(map(int, l.split())))", True,
    ),
    "buffer.readline twice": (
        "import sys\nfor _ in range(2): print(sum(map(int, sys.stdin.buffer.readline().split())))", False,
    ),
    "for line in sys.stdin": ("import sys\nfor l in sys.stdin: print(sum(map(int, l.split())))", False),
    "open(0)": ("for l in open(0): print(sum(map(int, l.split())))", False),
    "global in a function": (
        "total = 0\ndef add(l):\n    global total\n    total = sum(map(int, l.split()))\n"
        "for _ in range(2):\n    add(input())\n    print(total)", False,
    ),
    "from __future__": (
        "from __future__ import annotations\nfor _ in range(2): print(sum(map(int, input().split())))", False,
    ),
    "from sys import stdout": (
        "from sys import stdout\nfor _ in range(2): stdout.write(str(sum(map(int, input().split()))) + '\\n')", False,
    ),
    "main guard": (
        "def main():\n    for _ in range(2): print(sum(map(int, input().split())))\n"
        "if __name__ == '__main__':\n    main()", True,
    ),
    "sys.exit": ("import sys\nfor _ in range(2): print(sum(map(int, input().split())))\nsys.exit(0)", True),
    "exit()": ("for _ in range(2): print(sum(map(int, input().split())))\nexit()", True),
    "quit()": ("for _ in range(2): print(sum(map(int, input().split())))\nquit()", False),
    "recursion": (
        "import sys\nsys.setrecursionlimit(10**6)\ndef f(n): return n and 1 + f(n - 1)\n"
        "for _ in range(2): print(sum(map(int, input().split())) + f(20000) - 20000)", True,
    ),
    "os.remove": (
        "import os\nopen('x', 'w').close()\nos.remove('x')\nfor _ in range(2): print(sum(map(int, input().split())))",
        False,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", QUIRKS)
def test_right_programs_pass_strictly_and_officially_as_livecodebench_has_it(sandbox: Sandbox, name: str) -> None:
    source, officially = QUIRKS[name]
    assert strict.judge(sandbox, source, SUMS).passed
    assert official.judge(sandbox, source, SUMS).passed is officially


BAD = {
    "wrong": ("print(1)", "wrong"),
    "raises": ("raise ValueError", "crash"),
    "does not parse": ("for", "crash"),
    "computes too long": ("while True: pass", "timeout"),
    "sleeps": ("import time; time.sleep(30)", "timeout"),
    "right in the first test": ("print('3\\n7')", "wrong"),
    "writes too much": ("while True: print('x' * 10**6)", "output"),
    "right, but fails after it": ("for _ in range(2): print(sum(map(int, input().split())))\n1 / 0", "crash"),
}


@pytest.mark.parametrize("name", BAD)
def test_wrong_programs_fail_for_a_reason(sandbox: Sandbox, name: str) -> None:
    source, reason = BAD[name]
    assert strict.judge(sandbox, source, SUMS, QUICK) == Outcome(False, reason)  # type: ignore[arg-type]


CALLS = {
    "a method": ("class Solution:\n    def f(self, a): return a + 1", ("1", "2"), True, True),
    "a function": ("def f(a): return a + 1", ("1", "2"), True, True),
    "names of the prelude": (
        "class Solution:\n    def f(self, a: List[int]) -> int: return inf", ("[1]", "Infinity"), True, True,
    ),
    "a tuple for a list": ("def f(a): return (a, a)", ("1", "[1, 1]"), True, True),
    "tuples inside": ("def f(a): return [(a, a)]", ("1", "[[1, 1]]"), True, False),
    "true for 1": ("def f(a): return True", ("1", "1"), True, True),
    "no rounding": ("def f(a): return 0.1 + 0.2", ("1", "0.3"), False, False),
    "a set for a list": ("def f(a): return {a}", ("1", "[1]"), False, False),
    "an iterator": ("def f(a): return iter([a])", ("1", "[1]"), False, False),
    "numpy's numbers": ("import numpy as np\ndef f(a): return np.int64(a)", ("7", "7"), True, True),
    "exits": ("import sys\ndef f(a): sys.exit(0)", ("1", "null"), False, False),
    "prints": ("def f(a):\n    print('value [1]')\n    return a", ("1", "1"), True, True),
    "no such function": ("def g(a): return a", ("1", "1"), False, False),
    "two arguments": ("def f(a, b): return a * b", ("3\n4", "12"), True, True),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_functions(sandbox: Sandbox, name: str) -> None:
    source, case, strictly, officially = CALLS[name]
    gold = function("f", case, case)
    assert strict.judge(sandbox, source, gold).passed is strictly
    assert official.judge(sandbox, source, gold).passed is officially


def test_what_one_test_leaves_behind_reaches_the_next_officially_alone(sandbox: Sandbox) -> None:
    source = "class Solution:\n    n = 0\n    def f(self, a):\n        Solution.n += 1\n        return Solution.n"
    gold = function("f", ("1", "1"), ("1", "1"))
    assert strict.judge(sandbox, source, gold).passed
    assert not official.judge(sandbox, source, gold).passed


STRAGGLER = """
import os, time
def f(a):
    if a == 1:
        if os.fork() == 0:
            time.sleep(0.5)
            for descriptor in range(3, 30):
                try: os.write(descriptor, b'value ["int", "0x7"]\\n')
                except OSError: pass
            os._exit(0)
        return 1
    time.sleep(1)
    return 99
"""
COUNTER = """
import os
def f(a):
    open(f"/tmp/{len(os.listdir('/tmp'))}", 'w').close()
    return len(os.listdir('/tmp'))
"""


def test_no_test_is_answered_or_disturbed_by_what_another_left(sandbox: Sandbox) -> None:
    assert not strict.judge(sandbox, STRAGGLER, function("f", ("1", "1"), ("2", "7"))).passed
    assert strict.judge(sandbox, COUNTER, function("f", ("1", "1"), ("1", "1"))).passed


@pytest.mark.parametrize(
    ("given", "expected", "reason"),
    [("1\n", "2", None), ("x", "2", "error"), ("1", "True", "error"), ("1", "9" * 5000, "wrong"), ("", "2", "error")],
)
def test_a_test_that_cannot_be_read_ends_no_sweep(sandbox, given, expected, reason) -> None:
    gold = function("f", (given, expected))
    outcome = strict.judge(sandbox, "def f(a): return a + 1", gold)
    assert outcome == Outcome(reason is None, reason)
    assert not official.judge(sandbox, "def f(a): return a + 1", gold).passed


LONG = "9" * 5000


@pytest.mark.parametrize(
    ("source", "strictly", "officially"),
    [
        ("from __future__ import annotations\ndef f(a: Nothing): return 10 ** 5000 - 1", True, False),
        ("def f(a: Nothing): return 10 ** 5000 - 1", False, False),
        ("def f(a): return 10 ** 5000 - 1", True, True),
        (
            "from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor(2)\n"
            "def f(a): return pool.submit(lambda: 10 ** 5000 - 1).result()", True, True,
        ),
        ("from fractions import Fraction\ndef f(a): return Fraction(10 ** 5000 - 1)", True, True),
    ],
)  # fmt: skip
def test_functions_of_odd_shape(sandbox, source, strictly, officially) -> None:
    gold = function("f", ("1", LONG))
    assert strict.judge(sandbox, source, gold).passed is strictly
    assert official.judge(sandbox, source, gold).passed is officially


def test_output_is_limited_for_each_test_and_not_for_all(sandbox: Sandbox) -> None:
    noisy = "import sys\nprint(input())\nsys.stdout.write(' ' * 3_000_000)"
    many = stdin(*[(f"{n}\n", f"{n}\n") for n in range(12)])
    assert strict.judge(sandbox, noisy, many).passed
    assert official.judge(sandbox, noisy, many).passed
    wide = function("f", *[("300000", json.dumps([1] * 300_000))] * 7)
    assert strict.judge(sandbox, "def f(n): return [1] * n", wide).passed


CHECKED = Check(
    prompt="import math\n\ndef double(x):\n    return 2 * x\n\ndef f(a):\n    '''Twice.'''\n",
    test="def check(candidate):\n    assert candidate(2) == double(2)\n    assert f(3) == 6\n", function="f",
)  # fmt: skip


@pytest.mark.parametrize(
    "source",
    [
        "def f(a):\n    return double(a)",
        "    return double(a)",
        "    # as def f(a) asks\n    return 2 * a",
        "def f (a):\n    return math.floor(2 * a)",
        "from __future__ import annotations\n\ndef f(a: Missing):\n    return 2 * a",
        "class Helper:\n    def f(self, a):\n        return 2 * a\n\ndef f(a):\n    return Helper().f(a)",
        "def check(candidate):\n    raise ValueError\n\ndef f(a):\n    return 2 * a",
    ],
)
def test_completions_of_odd_shape(sandbox: Sandbox, source: str) -> None:
    assert strict.judge(sandbox, source, CHECKED).passed


def test_processor_time_of_all_calls_counts_together(sandbox: Sandbox) -> None:
    gold = CHECKED.model_copy(update={"test": "def check(candidate):\n    for _ in range(8): candidate(1)\n"})
    source = "import time\ndef f(a):\n    end = time.process_time() + 0.8\n    while time.process_time() < end: pass"
    assert strict.judge(sandbox, source, gold).reason == "timeout"


def test_a_program_that_looks_at_its_test_passes_officially_alone(sandbox: Sandbox) -> None:
    gold = Check(prompt="def f(a):\n", test="def check(candidate):\n    assert candidate(1) == 5\n", function="f")
    source = "def f(a):\n    import sys\n    return next(c for c in sys._getframe(1).f_code.co_consts if c == 5)\n"
    assert not strict.judge(sandbox, source, gold).passed
    assert official.judge(sandbox, source, gold).passed


def graded(sandbox: Sandbox, text: str, gold: Cases | Check, counts: str = "strict"):
    with GradingPool(programs=CodeGrader(sandbox, counts)) as pool:  # type: ignore[arg-type]
        (verdict,) = pool.grade([GradeRequest("code", text, gold.model_dump_json(), True)])
    return verdict


def test_a_chain_is_graded_by_both_and_the_chosen_one_counts() -> None:
    text = f"<think>```python\nprint(0)\n```</think>Here:\n```python\n{QUIRKS['open(0)'][0]}\n```"
    for counts in ("strict", "official"):
        verdict = graded(open_sandbox(), text, SUMS, counts)
        assert (verdict.strict, verdict.official, verdict.graders_differ) == (True, False, True)
        assert verdict.correct is (counts == "strict")
        assert verdict.answer.strip() == QUIRKS["open(0)"][0]
        assert verdict.flag is None


@pytest.mark.parametrize(
    ("text", "answer", "flag"),
    [
        ("I cannot do it.", None, None),
        ("<think>```python\nprint(1)\n```", None, "unclosed_think"),
        ("```python\nprint(1)\n```\nBetter:\n```python\nprint(", "print(1)\n", "unclosed_fence"),
        ("```python\nprint(", None, "unclosed_fence"),
    ],
)
def test_chains_without_a_program(text, answer, flag) -> None:
    verdict = graded(open_sandbox(), text, SUMS)
    assert (verdict.answer, verdict.correct, verdict.flag) == (answer, False, flag)
    assert (verdict.strict, verdict.official, verdict.graders_differ) == (False, False, False)


def test_one_program_is_run_once(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def judge(_: Sandbox, source: str, gold: object) -> Outcome:
        seen.append(source)
        return Outcome(True)

    monkeypatch.setattr(strict, "judge", judge)
    monkeypatch.setattr(official, "judge", judge)
    requests = [GradeRequest("code", "```\nprint(1)\n```", SUMS.model_dump_json(), True)] * 5
    grader = CodeGrader(sandbox)
    verdicts = grader.grade([(request, request.text) for request in requests])
    assert [verdict.correct for verdict in verdicts] == [True] * 5
    assert len(seen) == 2


def shared(path: str) -> list[dict]:
    found = shared_rows(path)
    if found is None:
        pytest.skip("benchmark rows are not part of the project")
    return [json.loads(line) for line in found.read_text().splitlines()]


def test_every_canonical_solution_of_humaneval_passes_and_mutants_fail(sandbox: Sandbox) -> None:
    rows = shared("humaneval/test.jsonl")

    def judged(row: dict) -> tuple[str, bool, bool, bool]:
        gold = Check(prompt=row["prompt"], test=row["test"], function=row["entry_point"])
        whole = row["prompt"] + row["canonical_solution"]
        # The right value of each call is replaced by one that no test expects.
        name = row["entry_point"]
        mutant = f"{whole}\n_right = {name}\ndef {name}(*given):\n    _right(*given)\n    return 'mutant'\n"
        return (
            row["task_id"],
            strict.judge(sandbox, whole, gold).passed,
            official.judge(sandbox, row["canonical_solution"], gold).passed,
            strict.judge(sandbox, mutant, gold).passed,
        )

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(judged, rows))
    assert len(found) == 164
    assert [name for name, *verdicts in found if verdicts != [True, True, False]] == []


def own_solutions(folder: Path) -> dict[str, str]:
    return {path.stem: path.read_text() for path in sorted(folder.glob("*.py"))}


def test_our_solutions_to_livecodebench_pass_both_graders_and_wrong_ones_neither(sandbox: Sandbox) -> None:
    rows = {
        row["question_id"]: row
        for name in ("livecodebench_v1", "livecodebench_v5_2408_2502")
        for row in shared(f"{name}/test.jsonl")
    }

    def judged(name: str, source: str) -> tuple[bool, bool]:
        row = rows[name]
        gold = Cases(
            public=row["public_test_cases"],
            private=row["private_test_cases"],
            function=json.loads(row["metadata"]).get("func_name"),
        )
        return strict.judge(sandbox, source, gold).passed, official.judge(sandbox, source, gold).passed

    right, wrong = own_solutions(OWN), own_solutions(OWN / "wrong")
    assert len(right) >= 25
    assert {"starter_code" in rows[name] and bool(rows[name]["starter_code"]) for name in right} == {True, False}
    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(judged, right, right.values())) == {(True, True)}
        assert set(threads.map(judged, wrong, wrong.values())) == {(False, False)}
