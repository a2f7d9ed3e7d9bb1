"""`--engine openai` against a server in this process whose answers are known: what is asked, and what comes of it."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from hyperscale.engines.base import Chain, Job
from hyperscale.kvcache.block_pool import BLOCK_SIZE
from tests.engines.openai.client import (
    JOBS,
    LONGEST,
    PROMPTS,
    THREADS,
    chains_of,
    engine_of,
    expected,
    tokens_of,
)


@pytest.mark.parametrize("streams", [True, False])
@pytest.mark.parametrize("shows_end", [True, False])
def test_chains_are_what_the_server_drew_and_counts_are_vanillas(server, text, streams, shows_end):
    server.shows_end = shows_end
    if not streams:
        server.fields = {"return_token_ids", "seed"}
    engine = engine_of(server, text)
    chains = chains_of(engine)
    assert tokens_of(chains) == expected(server)
    shape = engine.cache_shape
    assert (shape.layers, shape.kv_heads, shape.token_bytes, shape.page_bytes) == (2, 2, 2 * 8 * 2, 16 * 2 * 8 * 2)
    assert engine.ceiling is None
    rows = shape.layers * shape.kv_heads
    for job in JOBS:
        for thread, cap in job.length_caps.items():
            chain, prompt = chains[job.problem_id, thread], len(job.prompt_tokens)
            total = prompt + len(chain.tokens)
            assert (chain.length_cap, chain.prompt_tokens) == (cap, prompt)
            assert total <= cap
            assert chain.finish_reason == ("stop" if chain.tokens[-1] == text.tokenizer.eos_token_id else "length")
            assert chain.accounting == "from_lengths"
            assert chain.step_reads.tolist() == [rows * held for held in range(prompt + 1, total + 1)]
            assert chain.step_live.tolist() == chain.step_reads.tolist()
            own = [rows * (-(-held // BLOCK_SIZE) - prompt // BLOCK_SIZE) for held in range(prompt + 1, total + 1)]
            assert chain.step_pages.tolist() == own
            assert chain.row_live.tolist() == [total] * rows
            assert len(chain.step_micros) == len(chain.tokens)
            assert chain.device_bytes is None
    assert {chain.finish_reason for chain in chains.values()} == {"stop", "length"}


def test_what_is_asked_for(server, text):
    engine_of(server, text, top_k=20, min_p=0.1, temperature=0.6, top_p=0.95)
    assert not server.bodies, "a probe was taken for a chain"
    chains_of(engine_of(server, text, top_k=20, min_p=0.1, temperature=0.6, top_p=0.95))
    assert {tuple(body["prompt"]) for body in server.bodies} == set(PROMPTS)
    for body in server.bodies:
        assert body["model"] == "served"
        assert (body["temperature"], body["top_p"], body["top_k"], body["min_p"]) == (0.6, 0.95, 20, 0.1)
        assert body["repetition_penalty"] == 1
        assert body["stop_token_ids"] == sorted(text.eos_ids)
        assert 0 <= body["seed"] < 2**31
    assert len({(*body["prompt"], body["seed"]) for body in server.bodies}) == 12
    assert {header["User-Agent"] for header in server.headers} == {"hyperscale"}
    assert not any("Authorization" in header for header in server.headers)
    before = [(body["prompt"], body["max_tokens"], body["seed"]) for body in server.bodies]
    server.bodies.clear()
    chains_of(engine_of(server, text, request_concurrency=1))
    again = [(body["prompt"], body["max_tokens"], body["seed"]) for body in server.bodies]
    assert sorted(before) == sorted(again)
    assert [tuple(prompt) for prompt, _, _ in again] == [job.prompt_tokens for job in JOBS for _ in range(3)]
    assert {body["top_k"] for body in server.bodies} == {-1}, "unsaid, servers take a default of their own"


def test_text_is_tokenized_again_where_there_are_no_ids(server, text, caplog):
    server.gives_ids = False
    chains = chains_of(engine_of(server, text))
    assert "no token ids" in caplog.text
    cut = 0
    for (problem, thread), tokens in expected(server).items():
        chain = chains[problem, thread]
        job = next(job for job in JOBS if job.problem_id == problem)
        room = job.length_caps[thread] - len(job.prompt_tokens)
        whole = text.tokenizer(server.text(tokens), add_special_tokens=False)["input_ids"]
        if tokens[-1] == text.tokenizer.eos_token_id:
            whole.append(text.tokenizer.eos_token_id)
        cut += len(whole) > room
        assert chain.tokens.tolist() == whole[:room]
        assert chain.finish_reason == ("stop" if chain.tokens[-1] == text.tokenizer.eos_token_id else "length")
        assert chain.accounting == "from_text"
        assert len(chain.step_reads) == len(chain.tokens)


def test_prompts_go_as_text_where_ids_are_refused(server, text, caplog):
    server.token_prompts = False
    prompt = tuple(text.tokenizer("<|im_start|>user\nthe a<|im_end|>\n", add_special_tokens=False)["input_ids"])
    chains = chains_of(engine_of(server, text), [Job("t", "p", prompt, {0: LONGEST})])
    (body,) = server.bodies
    assert body["prompt"] == "<|im_start|>user\nthe a<|im_end|>\n"
    assert chains["p", 0].tokens.tolist() == server.whole(prompt, body["seed"])[: LONGEST - len(prompt)]
    assert "they go as text" in caplog.text


def test_a_token_that_the_server_puts_first_is_not_sent_to_it(server, text):
    tokenizer = text.tokenizer
    server.token_prompts, server.adds_bos = False, True
    bos, tokenizer.bos_token = tokenizer.bos_token, "<|endoftext|>"
    try:
        prompt = (tokenizer.bos_token_id, 5, 6)
        chains_of(engine_of(server, text), [Job("t", "p", prompt, {0: LONGEST})])
        assert server.prompt_of(server.bodies[0]) == list(prompt)
    finally:
        tokenizer.bos_token = bos


def test_a_strict_server_gets_every_field_that_it_takes(server, text, caplog):
    server.fields = {"stream", "top_k", "return_token_ids"}
    chains = chains_of(engine_of(server, text, temperature=0))
    assert len(chains) == 12
    for body in server.bodies:
        assert body.keys() - {"model", "prompt", "max_tokens", "temperature", "top_p"} == server.fields
    assert caplog.text == "", "nothing is amiss: greedy chains need no seed"


@pytest.mark.parametrize("honoured", [True, False])
def test_a_server_that_draws_anew_for_the_same_seed_is_told(server, text, caplog, honoured):
    server.honours_seeds = honoured
    engine_of(server, text)
    assert ("another sample for the same seed" in caplog.text) != honoured


def test_threads_that_would_be_copies_are_told(server, text, caplog):
    server.fields = {"return_token_ids", "stream"}
    engine_of(server, text)
    assert "same sample for two seeds" in caplog.text


def test_sampling_that_the_server_does_not_know_is_no_sampling(server, text):
    server.fields = {"min_p", "seed"}
    engine_of(server, text, min_p=0.1)
    with pytest.raises(ValueError, match=r"--top-k: .* refuses top_k"):
        engine_of(server, text, top_k=5)


@pytest.mark.parametrize("concurrency", [1, 4, 50])
def test_so_many_requests_at_a_time(server, text, concurrency):
    side_by_side = min(concurrency, THREADS)
    meeting = threading.Barrier(side_by_side, timeout=10)

    def meet(number: int, body: dict[str, Any]) -> None:
        meeting.wait()

    server.fault = meet
    chains = chains_of(engine_of(server, text, request_concurrency=concurrency))
    assert server.most_at_once == side_by_side
    assert all(1 <= chain.batch_threads <= side_by_side + 1e-9 for chain in chains.values())


def test_time_is_divided_among_those_in_flight(server, text):
    server.seconds_a_token = 0.003
    server.fault = lambda number, body: "drop" if number == 2 else None
    engine = engine_of(server, text, request_concurrency=4)
    began = time.monotonic()
    chains = chains_of(engine)
    wall = time.monotonic() - began
    total = sum(chain.step_micros.sum() for chain in chains.values()) / 1e6
    # Less what lies between requests: until the first is sent, and after the last came in.
    assert 0.7 * wall < total < wall
    assert all((chain.step_micros >= 0).all() for chain in chains.values())


def test_where_an_event_loop_runs_already(server, text):
    """As in a notebook."""

    async def cell() -> dict[tuple[str, int], Chain]:
        return chains_of(engine_of(server, text))

    assert tokens_of(asyncio.run(cell())) == expected(server)
