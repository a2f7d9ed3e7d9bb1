"""`--engine openai` and servers that are not as vLLM's: of other prompts, counts, errors and contexts."""

from __future__ import annotations

import pytest

from hyperscale.engines.base import Job
from tests.engines.openai.client import LONGEST, chains_of, engine_of, expected, no_threads_left, tokens_of


@pytest.mark.parametrize("token_prompts", [True, False])
def test_a_template_around_the_prompt_is_another_experiment(server, text, token_prompts):
    server.token_prompts, server.wraps = token_prompts, 2
    with pytest.raises(ValueError, match=r"/v1: the server counts \d+ tokens in a prompt of \d+: it cuts .* or wraps"):
        engine_of(server, text)


def test_so_is_a_prompt_that_is_cut(server, text):
    server.keeps = 3
    with pytest.raises(ValueError, match="the server counts 3 tokens in a prompt of"):
        engine_of(server, text)
    server.keeps = None
    engine = engine_of(server, text)
    server.keeps = 16  # Longer than the prompts of the probe and of most problems.
    with pytest.raises(
        ValueError, match=r"^t p3, L = \d+ tokens: the server counts 16 tokens in a prompt of 17: it cuts"
    ):
        chains_of(engine)
    assert no_threads_left()


def test_one_token_more_in_every_prompt_is_told_and_no_more_than_that_is_taken(server, text, caplog):
    server.wraps = 1
    engine = engine_of(server, text)
    assert "so reads are a little off" in caplog.text
    chains_of(engine)
    server.wraps = 2
    with pytest.raises(ValueError, match="the server counts"):
        chains_of(engine)


def test_a_prompt_that_nobody_counts_is_taken_as_it_is(server, text, caplog):
    server.counts = False
    chains = chains_of(engine_of(server, text))
    assert tokens_of(chains) == expected(server)
    assert caplog.text == ""


def test_text_that_has_a_shorter_way_to_be_tokenized_is_the_same_prompt(server, text):
    server.token_prompts = False
    letters = tuple(text.tokenizer(letter, add_special_tokens=False)["input_ids"][0] for letter in "the the")
    engine = engine_of(server, text)
    chains_of(engine, [Job("t", "p", letters, {0: LONGEST})])
    assert len(server.prompt_of(server.bodies[0])) < len(letters) - 1
    server.keeps = 1
    with pytest.raises(ValueError, match="the server counts 1 tokens in a prompt of 7"):
        chains_of(engine, [Job("t", "p", letters, {0: LONGEST})])


def test_streams_that_count_nothing_are_done_without(server, text, caplog):
    """Whole answers have a count, without which a chain that was cut off looks like one that reached its cap."""
    server.fields = {"stream", "seed"}
    engine = engine_of(server, text)
    assert "it does not stream, or no counts" in caplog.text
    chains_of(engine)
    assert not any("stream" in body for body in server.bodies)
    server.fault = lambda number, body: "short"
    with pytest.raises(ValueError, match="cut a chain off after"):
        chains_of(engine)


def test_an_error_that_is_null_is_none(server, text):
    server.fault = lambda number, body: "null"
    chains = chains_of(engine_of(server, text))
    assert tokens_of(chains) == expected(server)


@pytest.mark.parametrize("streams", [True, False])
def test_an_error_with_the_status_of_a_success_is_told(server, text, streams):
    if not streams:
        server.fields = {"return_token_ids", "seed"}
    server.fault = lambda number, body: "told"
    with pytest.raises(ValueError, match="failed 8 times, at last with: 500 engine died"):
        chains_of(engine_of(server, text))


def test_sglang_leaves_two_tokens_of_its_context_unused(server, text):
    server.owner, server.context = "sglang", LONGEST + 1
    with pytest.raises(
        ValueError,
        match=r"L = 64 is beyond the 65 tokens of context of served .* \(sglang leaves 2 of them unused\): .* with 66",
    ):
        engine_of(server, text)
    server.context = LONGEST + 2
    engine_of(server, text)
    server.owner, server.context = "vllm", LONGEST
    engine_of(server, text)
