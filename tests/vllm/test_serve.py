"""`--engine openai` against a real `vllm serve` of SmolLM2-135M."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import torch

from hyperscale.cli.main import run
from hyperscale.config import Sampling, SweepConfig, make_config
from hyperscale.engines.base import Job
from hyperscale.engines.openai.engine import OpenaiEngine
from hyperscale.engines.torch.engine import TorchEngine
from hyperscale.model.chat import encode_prompt
from hyperscale.model.checkpoint import write_original
from hyperscale.model.load import Model, Text, load_text
from tests.folders import rows, table
from tests.vllm.serving import Address, Serving

QUESTIONS = ("What is 17 plus 25?", "Name three colours.", "Why is the sky blue?", "Write a short poem about rain.")
NEW_TOKENS = 24
CONTEXT = 512


@pytest.fixture(scope="session")
def background() -> None:
    """None: those of conftest.py would take the two cores from the servers."""


@pytest.fixture(scope="session")
def shared_vllm() -> None:
    """None either."""


class Servers:
    """Two of the same, started side by side: the second takes the first one's place."""

    def __init__(self, folder: Path, logs: Path) -> None:
        arguments = ("--max-model-len", str(CONTEXT), "--dtype", "float32", "--served-model-name", "smollm2")
        cpu = ("--no-enable-chunked-prefill",)  # docs/engines.md says why
        self.both = [Serving(folder, logs / f"serve-{n}.log", *arguments, *cpu) for n in (0, 1)]
        self.address = Address()

    @property
    def url(self) -> str:
        if self.address.target is None:
            for server in self.both:
                server.wait()
            self.address.target = self.both[0].port
        return self.address.url

    def running(self) -> float:
        """Requests that the first server works on."""
        with urlopen(f"http://127.0.0.1:{self.both[0].port}/metrics", timeout=5) as page:
            lines = page.read().decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith("vllm:num_requests_running{"))


@pytest.fixture(scope="module")
def checkpoint(smollm2: Model, smollm2_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("smollm2")
    write_original(folder, smollm2_file, smollm2, with_weights=True, dtype=torch.float32)
    return folder


@pytest.fixture(scope="module")
def servers(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    started = Servers(checkpoint, tmp_path_factory.mktemp("serve"))
    try:
        yield started
    finally:
        started.address.close()
        for server in started.both:
            server.kill()


@pytest.fixture(scope="module")
def text(checkpoint: Path) -> Text:
    return load_text(str(checkpoint))


@pytest.fixture(scope="module")
def jobs(text: Text) -> list[Job]:
    prompts = [tuple(encode_prompt(text.tokenizer, question)) for question in QUESTIONS]
    return [Job("t", str(i), prompt, {0: len(prompt) + NEW_TOKENS}) for i, prompt in enumerate(prompts)]


def config(servers: Servers, text: Text, **fields: Any) -> SweepConfig:
    known: dict[str, Any] = {
        "model": str(text.source.path), "tasks": ("t",), "grid": ((1, 256),), "engine": "openai",
        "base_url": servers.url, "dtype": "float32", "output_dir": Path("out"),
    }  # fmt: skip
    return make_config(**known | fields)


def test_greedy_tokens_are_the_torch_engines(
    servers: Servers, smollm2: Model, text: Text, jobs: list[Job],
    record_property: Callable[[str, object], None], caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """Of all tokens at least 95 % come before the first one that differs."""
    ours = TorchEngine(smollm2, sampling=Sampling(temperature=0), length_cap=256, max_batch=len(jobs))
    expected = {chain.problem_id: chain for chain in ours.generate(jobs)}
    theirs = OpenaiEngine(config(servers, text, temperature=0.0), text)
    assert caplog.text == "", "vLLM takes all that is asked for"
    found = {chain.problem_id: chain for chain in theirs.generate(jobs)}
    alike = total = 0
    for problem, chain in expected.items():
        total += len(chain.tokens)
        pairs = zip(chain.tokens.tolist(), found[problem].tokens.tolist(), strict=False)
        alike += next((i for i, (one, other) in enumerate(pairs) if one != other), len(chain.tokens))
        if chain.tokens.tolist() == found[problem].tokens.tolist():
            assert found[problem].finish_reason == chain.finish_reason
            for name in ("step_reads", "step_live", "step_pages", "row_live", "page_shared"):
                assert getattr(found[problem], name).tolist() == getattr(chain, name).tolist()
    record_property("greedy agreement", f"{alike} of {total} tokens")
    assert total > len(jobs) * NEW_TOKENS / 2
    assert alike >= 0.95 * total, f"{alike} of {total}"
    assert {chain.accounting for chain in found.values()} == {"from_lengths"}
    assert {chain.finish_reason for chain in found.values()} == {"stop", "length"}
    assert theirs.cache_shape == ours.cache_shape


def test_a_seed_is_a_sample(servers: Servers, text: Text, jobs: list[Job]) -> None:
    prompt = jobs[3].prompt_tokens
    job = Job("t", "poem", prompt, dict.fromkeys(range(3), len(prompt) + 16))
    # One at a time: beside others rounding may differ.
    engine = OpenaiEngine(config(servers, text, temperature=1.0, request_concurrency=1), text)
    first, again = ({chain.thread: chain.tokens.tolist() for chain in engine.generate([job])} for _ in range(2))
    assert first == again
    assert len({tuple(tokens) for tokens in first.values()}) == 3


def test_what_nobody_waits_for_is_not_generated(servers: Servers, text: Text) -> None:
    prompt = tuple(encode_prompt(text.tokenizer, "Count from 1 to 500, one number a line."))
    job = Job("t", "count", prompt, {0: len(prompt) + 4, 1: 256, 2: 256, 3: 256})
    generated = OpenaiEngine(config(servers, text, temperature=0.0), text).generate([job])
    assert next(generated).thread == 0
    assert servers.running() == 3
    generated.close()  # type: ignore[attr-defined]
    deadline = time.monotonic() + 4  # The three would take three times as long.
    while servers.running() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert servers.running() == 0


def test_a_context_that_is_too_short_is_told_at_the_start(servers: Servers, text: Text) -> None:
    with pytest.raises(ValueError, match="L = 1k is beyond the 512 tokens of context of smollm2"):
        OpenaiEngine(config(servers, text, grid=((1, 1024),)), text)


def sweep(servers: Servers, model: Path, folder: Path, limit: int) -> int:
    arguments = ["sweep", "--engine", "openai", "--base-url", servers.url, "--model", str(model), "--dtype", "float32"]
    arguments += ["--tasks", "arithmetic", "--limit", str(limit), "--widths", "1,2", "--lengths", "96,112"]
    return run([*arguments, "--request-concurrency", "3", "--output-dir", str(folder)])


def test_a_server_that_is_killed_and_comes_back(servers: Servers, checkpoint: Path, tmp_path: Path) -> None:
    """The sweep is graded to its end, and what had been finished before is not drawn again."""
    folder, before = tmp_path / "out", []

    def kill() -> None:
        while not (parts := list((folder / "samples").glob("part-*.parquet"))):
            time.sleep(0.02)
        before.extend(parts)
        servers.both[0].kill()
        servers.address.target = None
        time.sleep(1)
        servers.address.target = servers.both[1].port

    url = servers.url
    killing = threading.Thread(target=kill)
    killing.start()
    assert sweep(servers, checkpoint, folder, 3) == 0
    killing.join()
    assert url == servers.url
    assert before
    samples = rows(table(folder, "samples"))
    assert len(samples) == 6
    assert {row["accounting"] for row in samples} == {"from_lengths"}
    grades = rows(table(folder, "grades"))
    assert {(row["problem_id"], row["thread"]) for row in grades} == {(r["problem_id"], r["thread"]) for r in samples}
    assert (folder / "points.parquet").is_file()
    assert sweep(servers, checkpoint, folder, 3) == 0
