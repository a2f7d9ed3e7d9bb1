"""How an answer becomes a chain, of answers that the server of the other tests does not give."""

from __future__ import annotations

from typing import Any

import pytest

from hyperscale.config import Sampling
from hyperscale.engines.openai.errors import ServerError
from hyperscale.engines.openai.protocol import Answer, Protocol
from tests.tiny_models import tiny_tokenizer

TOKENIZER = tiny_tokenizer()
END = int(TOKENIZER.eos_token_id)
A, B = (int(token) for token in TOKENIZER("xy")["input_ids"])
PROTOCOL = Protocol("m", Sampling(), frozenset({END}), TOKENIZER)


def answer(*choices: dict[str, Any], counted: int | None = None) -> Answer:
    found = Answer()
    for choice in choices:
        found.take({"choices": [{"index": 0, "text": "", **choice}]})
    found.take({"choices": [], "usage": {"completion_tokens": counted}})
    return found


@pytest.mark.parametrize(
    ("ids", "reason", "limit", "kept", "ended"),
    [
        ([A, B, END], "stop", 5, [A, B, END], "stop"),
        ([A, B], "stop", 5, [A, B, END], "stop"),
        ([], "stop", 5, [END], "stop"),
        ([A, B], "stop", 2, [A, B], "length"),  # Its end lies beyond the cap.
        ([A, B], "length", 2, [A, B], "length"),
        ([A, END, B, B], "length", 4, [A, END], "stop"),  # It knows our end token for none.
        ([A, B, A], "length", 2, [A, B], "length"),
    ],
)
def test_ids(ids, reason, limit, kept, ended):
    drawn = PROTOCOL.tokens_of(answer({"token_ids": ids, "finish_reason": reason}), limit)
    assert (drawn.tokens, drawn.finish_reason, drawn.accounting) == (kept, ended, "from_lengths")


@pytest.mark.parametrize(
    ("text", "reason", "limit", "kept", "ended"),
    [
        ("xy", "stop", 5, [A, B, END], "stop"),
        ("xy<|im_end|>", "stop", 5, [A, B, END], "stop"),  # So a server says that shows special tokens.
        ("xy", "stop", 2, [A, B], "length"),
        ("xyxy", "length", 3, [A, B, A], "length"),  # It had fewer tokens for the same text.
        ("x", "length", 3, [A], "length"),  # It had more.
        ("", "stop", 3, [END], "stop"),
    ],
)
def test_text(text, reason, limit, kept, ended):
    drawn = PROTOCOL.tokens_of(answer({"text": text, "finish_reason": reason}), limit)
    assert (drawn.tokens, drawn.finish_reason, drawn.accounting) == (kept, ended, "from_text")


def test_ids_of_a_part_are_not_ids():
    found = answer({"text": "x", "token_ids": [A]}, {"text": "y", "finish_reason": "stop"})
    assert found.tokens is None
    drawn = PROTOCOL.tokens_of(found, 5)
    assert (drawn.tokens, drawn.accounting) == ([A, B, END], "from_text")


def test_the_end_token_that_it_names():
    two = Protocol("m", Sampling(), frozenset({END, 0}), TOKENIZER)
    for name in ("stop_reason", "matched_stop"):
        for end in (END, 0):
            choice = {"token_ids": [A], "finish_reason": "stop", name: end}
            assert two.tokens_of(answer(choice), 5).tokens == [A, end]
    with pytest.raises(ValueError, match="ended a chain at 7, which ends no sequence of --model"):
        two.tokens_of(answer({"token_ids": [A, 7], "finish_reason": "stop", "stop_reason": 7}), 5)


@pytest.mark.parametrize(("counted", "fits"), [(None, True), (1, True), (2, True), (3, False), (0, False)])
def test_counts(counted, fits):
    """One token, and the end that it may count or not."""
    found = answer({"token_ids": [A], "finish_reason": "stop"}, counted=counted)
    if fits:
        assert PROTOCOL.tokens_of(found, 5).tokens == [A, END]
    else:
        with pytest.raises(ServerError, match=f"counts {counted} tokens and gave the ids of 1"):
            PROTOCOL.tokens_of(found, 5)


@pytest.mark.parametrize("event", [{"choices": 3}, {"choices": [3]}, {"usage": 3}, {"choices": [{"token_ids": ["x"]}]}])
def test_other_forms(event):
    with pytest.raises(ServerError, match="another form"):
        Answer().take(event)


def test_a_prompt_as_text():
    prompt = TOKENIZER("<|im_start|>user\nthe€")["input_ids"]
    assert PROTOCOL.as_text(prompt) == "<|im_start|>user\nthe€"
