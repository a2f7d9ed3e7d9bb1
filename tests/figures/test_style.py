from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperscale.figures import style


@pytest.mark.parametrize(
    ("count", "text"),
    [(512, "512"), (1024, "1K"), (1536, "1.5K"), (65536, "64K"), (2**20, "1M"), (2**31, "2G"), (0.5, "0.5")],
)
def test_tokens_in_powers_of_two(count: float, text: str) -> None:
    assert style.tokens(count) == text


@pytest.mark.parametrize(("count", "text"), [(128, "128"), (16384, "16K"), (1000, "1000"), (1500, "1500")])
def test_a_length_is_never_rounded(count: int, text: str) -> None:
    assert style.length(count) == text


@given(st.floats(1e-3, 1e9), st.floats(1.1, 1e6))
def test_octave_ticks_are_few_and_inside(low: float, ratio: float) -> None:
    ticks = style.octave_ticks(low, low * ratio)
    assert 1 <= len(ticks) <= 9
    assert ticks == sorted(set(ticks))
    assert all(low <= tick <= low * ratio for tick in ticks)


def test_octave_ticks_are_powers_of_two_where_the_range_allows() -> None:
    assert style.octave_ticks(900, 17000) == [1024, 2048, 4096, 8192, 16384]
    assert style.octave_ticks(1000, 2100) == [1024, 1536, 2048]


def test_backends_keep_their_look_whoever_stands_beside_them() -> None:
    known = ["vanilla", "dms", "quest", "tova", "h2o", "dmc", "random"]
    together = style.looks([*known, "own"])
    assert list(together) == [*known, "own"]
    assert all(style.looks([name])[name] == together[name] for name in known)
    assert len({look.colour for look in together.values()}) == len(together)
    assert len({look.dash for look in together.values()}) == len(together)
    assert len({look.pale for look in together.values()}) == len(together)


def test_every_ratio_has_a_mark_of_its_own() -> None:
    usual = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    together = style.marks([*usual, 3.0, 6.0, 12.0, *(64.0 + i for i in range(12))])
    assert list(together) == sorted(together)
    assert len({mark.marker for mark in together.values()}) == len(together) == 21
    assert all(style.marks([ratio])[ratio] == together[ratio] for ratio in usual)


@pytest.mark.parametrize(("ratio", "name"), [(1.0, "DMS"), (4.0, "DMS, CR 4"), (2.5, "DMS, CR 2.5")])
def test_a_cache_is_named_by_its_ratio(ratio: float, name: str) -> None:
    assert style.cache_name("DMS", ratio) == name


def test_rates_read_as_people_write_them() -> None:
    written = {0.125: "0.125", 1.25: "1.25", 1.5: "1.5", 8: "8", 512: "512", 1024: "1,024", 65536: "65,536"}
    assert {value: style.rate(value) for value in written} == written
