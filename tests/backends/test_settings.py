"""Settings of backends as they are typed."""

from __future__ import annotations

import pytest

from hyperscale.backends.settings import MOST, parse_options


@pytest.mark.parametrize(
    ("texts", "options"),
    [
        (["tova.sink_tokens=4", "quest.page_size=32"], (("quest", "page_size", 32), ("tova", "sink_tokens", 4))),
        ([" tova . sink_tokens = 4 "], (("tova", "sink_tokens", 4),)),
        (["tova.sink_tokens=4", "tova.sink_tokens=04"], (("tova", "sink_tokens", 4),)),
        (["tova.sink_tokens=0", "tova.protect_prompt=true"], (("tova", "protect_prompt", True),)),
        ([f"dms.window={MOST}"], (("dms", "window", MOST),)),
    ],
)
def test_settings_are_read(texts: list[str], options: tuple[tuple[str, str, int], ...]) -> None:
    assert parse_options(texts) == options


SHAPE = "expected BACKEND.FIELD=VALUE"


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["toav.sink_tokens=2"], "toav.sink_tokens: unknown backend 'toav'; did you mean 'tova'?"),
        (["TOVA.sink_tokens=2"], "did you mean 'tova'?"),
        (["tova.SINK_TOKENS=2"], "unknown setting 'SINK_TOKENS'; did you mean 'sink_tokens'?"),
        ([".sink_tokens=1"], f"'.sink_tokens=1': {SHAPE}"),
        (["tova.=1"], SHAPE),
        (["tova.sink_tokens"], SHAPE),
        (["tova.sink_tokens="], "must be a whole number"),
        (["tova.sink_tokens=1.5"], "tova.sink_tokens=1.5: must be a whole number"),
        (["tova.protect_prompt=maybe"], "tova.protect_prompt=maybe: must be true or false"),
        (["tova.sink_tokens=1", "tova.sink_tokens=2"], "tova.sink_tokens: given as 1 and as 2"),
        (["tova.protect_prompt=no", "tova.protect_prompt=yes"], "tova.protect_prompt: given as false and as true"),
        # The first is the default, which an empty list of changes would forget.
        (["tova.sink_tokens=0", "tova.sink_tokens=1"], "given as 0 and as 1"),
    ],
)
def test_a_mistake_names_the_flag_and_what_was_perhaps_meant(texts: list[str], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_options(texts)
    assert str(caught.value).startswith("--backend-option ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["quest.page_size", "dms.window", "tova.sink_tokens"])
@pytest.mark.parametrize("value", [2**31, 99999999999999999999984, -(2**31), 10**4000])
def test_a_whole_number_beyond_32_bits_is_refused(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"^--backend-option {name}={value}: must be between -2,147,483,647 and"):
        parse_options([f"{name}={value}"])
