from __future__ import annotations

import re
from itertools import permutations, product
from statistics import mean

import pytest

from hyperscale.grading.countdown import signed_terms
from hyperscale.tasks.generators import example, puzzle
from hyperscale.tasks.generators.countdown import ATTEMPTS, HITS, Countdown

PROBLEM = Countdown((9, 11, 22, 19), 14)
ATTEMPT = re.compile(r"(\d+) ([+~]) (\d+) = (\d+) ([+~]) (\d+) = (\d+) (\d+) (yes|no)")


def apply(left: int, sign: str, right: int) -> int:
    return left + right if sign == "+" else abs(left - right)


@pytest.mark.parametrize("index", range(40))
def test_a_chain_is_attempts_that_say_no_and_one_that_says_yes(index: int) -> None:
    problem, chain = example(Countdown, 3, "train", index, 100_000)
    attempts, _, answer = chain.partition(" answer ")
    found = list(ATTEMPT.finditer(attempts))
    assert " ".join(attempt[0] for attempt in found) == attempts
    for attempt in found:
        a, b, c, d, e, target = map(int, attempt.group(1, 3, 4, 6, 7, 8))
        assert (c, e, target) == (apply(a, attempt[2], b), apply(c, attempt[5], d), problem.target)
        assert len({a, b, d} & set(problem.numbers)) == 3
    assert [attempt[9] for attempt in found] == ["no"] * (len(found) - 1) + ["yes"]
    terms = signed_terms(answer.removesuffix(" <eos>"))
    assert terms is not None
    assert sum(terms) == problem.target
    assert {abs(term) for term in terms} == {int(found[-1][place]) for place in (1, 3, 6)}


@pytest.mark.parametrize("max_tokens", [0, 19, 20, 30, 31, 64, 511])
def test_a_search_stops_where_the_next_attempt_would_not_fit(max_tokens: int) -> None:
    endless = example(Countdown, 0, "train", 15, 100_000).chain
    assert len(endless.split()) > 512, "this one is found late"
    chain = example(Countdown, 0, "train", 15, max_tokens).chain
    assert len(chain.split()) == max(0, (max_tokens - 9) // 11) * 11
    assert endless.startswith(chain)


def test_three_of_48_attempts_hit() -> None:
    for index in range(100):
        problem = puzzle(Countdown, 1, "test", index)
        results = [
            apply(apply(a, first, b), second, d)
            for a, b, d in permutations(problem.numbers, 3)
            if a < b
            for first, second in product("+~", "+~")
        ]
        assert len(results) == ATTEMPTS
        assert results.count(problem.target) == HITS
        assert problem.target not in problem.numbers


def test_the_tokens_stated_are_those_expected() -> None:
    problem = puzzle(Countdown, 0, "train", 0)
    lengths = [
        len(drawn.prompt.split()) + len(chain.split())
        for drawn, chain in (example(Countdown, 5, "train", index, 100_000) for index in range(2000))
    ]
    assert mean(lengths) == pytest.approx(problem.facts["tokens"], rel=0.06)


def test_the_gold_states_the_problem() -> None:
    assert PROBLEM.gold == "9 11 22 19 ? 14"
    assert PROBLEM.prompt == "countdown : 9 11 22 19 ? 14 ;"
    assert Countdown.from_gold(PROBLEM.gold) == PROBLEM
    assert Countdown((22, 9, 19, 11), 14).canonical == PROBLEM.canonical


@pytest.mark.parametrize("gold", ["", "14", "9 11 22 ? 14", "9 11 22 19 14", "9 11 22 19 ? 0", "9 11 22 19 ? ١٤"])
def test_what_states_no_problem_is_none(gold: str) -> None:
    assert Countdown.from_gold(gold) is None


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("22 - 19 + 11", True),
        ("11 + 22 - 19", True),
        ("22 - 19 + 9", False),
        ("22 - 19 - 11", False),
        ("7 + 7 + 0", False),
        ("14", False),
        ("11 + 3", False),
        ("22 - 19 + 11 + 0", False),
        ("22 - 9 - 9 + 10", False),
        ("22 - 22 + 14", False),
        ("22-19+11", False),
        ("22 - 19 + 011", False),
        ("- 19 + 22 + 11", False),
        ("22 ~ 19 + 11", False),
        ("22 − 19 + 11", False),
        ("２２ - 19 + 11", False),
        ("(22 - 19) + 11", False),
        ("22 - 19 + 11 yes", False),
        ("", False),
    ],
)
def test_an_answer_is_a_sum_of_three_given_numbers(answer: str, right: bool) -> None:
    assert PROBLEM.is_right(answer) is right


def test_a_number_counts_as_often_as_it_is_given() -> None:
    assert Countdown((5, 5, 1, 2), 11).is_right("5 + 5 + 1")
    assert not Countdown((5, 4, 1, 2), 11).is_right("5 + 5 + 1")
