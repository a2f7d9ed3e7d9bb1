"""Whole sweeps with `--engine openai`: interrupted, resumed, and with a server that goes away and comes back."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hyperscale.cli.main import run
from hyperscale.model.load import load_text
from tests.engines.openai.client import clean_environment, no_threads_left
from tests.engines.openai.server import FakeServer
from tests.folders import rows, table
from tests.sums import write_sums
from tests.tiny_models import write_tiny_model

PROBLEMS, WIDTH, CAPS = 5, 4, (48, 80)
KEY = "sk-not-for-others"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sums(tmp_path_factory.mktemp("task"), PROBLEMS)


@pytest.fixture
def server(model: Path) -> Iterator[FakeServer]:
    with clean_environment() as patch, FakeServer(load_text(str(model)).tokenizer, key=KEY) as started:
        patch.setenv("OPENAI_API_KEY", KEY)
        yield started


def sweep(folder: Path, server: FakeServer, model: Path, task: Path, *more: str) -> int:
    arguments = ["sweep", "--engine", "openai", "--base-url", server.url, "--model", str(model), "--tasks", str(task)]
    arguments += ["--temperature", "1", "--seed", "3", "--widths", f"1,{WIDTH}", "--lengths", "48,80"]
    return run([*arguments, "--request-concurrency", "3", "--output-dir", str(folder), *more])


def drawn(folder: Path) -> dict[tuple[str, int], tuple[list[int], str, int]]:
    return {
        (row["problem_id"], row["thread"]): (row["tokens"], row["finish_reason"], row["length_cap"])
        for row in rows(table(folder, "samples"))
    }


def asked(server: FakeServer) -> list[tuple[str, int]]:
    return [(json.dumps(body["prompt"]), body["seed"]) for body in server.bodies]


def test_a_sweep_from_start_to_end(tmp_path, server, model, task, capsys):
    assert sweep(tmp_path / "out", server, model, task) == 0
    samples = table(tmp_path / "out", "samples")
    assert len(samples) == PROBLEMS * WIDTH == len(server.bodies)
    assert set(samples["engine"]) == {"openai"}
    assert set(samples["accounting"]) == {"from_lengths"}
    assert samples["device_bytes"].isna().all()
    assert samples["peak_flops"].isna().all()
    by_seed = {body["seed"]: body for body in server.bodies}
    assert len(by_seed) == len(server.bodies)
    said = {tuple(server.says(body)) for body in server.bodies}
    assert {tuple(row["tokens"]) for row in rows(samples)} == said
    points = pd.read_parquet(tmp_path / "out" / "points.parquet")
    assert len(points) == 4
    for point in rows(points):
        chains = samples[samples["thread"] < WIDTH]
        held = [min(row["prompt_tokens"] + row["generated_tokens"], point["length"]) for row in rows(chains)]
        reads = [sum(range(row["prompt_tokens"] + 1, last + 1)) for row, last in zip(rows(chains), held, strict=True)]
        assert point["kv_reads"] == pytest.approx(point["width"] * sum(reads) / len(reads))
        assert point["peak_tokens_sum"] == pytest.approx(point["width"] * sum(held) / len(held))
    server.stop()
    try:
        assert sweep(tmp_path / "out", server, model, task) == 0, "a complete folder needs no server"
    finally:
        server.start()
    manifest = (tmp_path / "out" / "manifest.json").read_text()
    assert json.loads(manifest)["identity"]["model"]["served_model"] == "served"
    captured = capsys.readouterr()
    assert KEY not in manifest + captured.out + captured.err


def test_interrupted_and_resumed(tmp_path, server, model, task):
    assert sweep(tmp_path / "whole", server, model, task) == 0
    whole = drawn(tmp_path / "whole")
    server.bodies.clear()
    server.seconds_a_token = 0.003
    ended, waited_out = threading.Event(), []

    def interrupt(number: int, body: dict[str, Any]) -> None:
        if number == 8:
            os.kill(os.getpid(), signal.SIGINT)
        if number >= 8 and not ended.wait(30):
            waited_out.append(number)

    server.fault = interrupt
    assert sweep(tmp_path / "out", server, model, task) == 130
    assert not waited_out, "requests in flight were not dropped"
    assert no_threads_left()
    ended.set()
    first = drawn(tmp_path / "out")
    assert 0 < len(first) < len(whole)
    before = asked(server)
    server.bodies.clear()
    server.fault = lambda number, body: None
    assert sweep(tmp_path / "out", server, model, task) == 0
    assert drawn(tmp_path / "out") == whole
    assert len(server.bodies) == len(whole) - len(first), "what was finished was asked for again"
    assert len(set(before) | set(asked(server))) == len(whole)


def test_the_server_is_restarted_in_the_middle(tmp_path, server, model, task, capsys):
    def away_and_back() -> None:
        server.stop()
        time.sleep(0.4)
        server.start()

    restarting = threading.Thread(target=away_and_back)

    def restart(number: int, body: dict[str, Any]) -> None:
        if number == 6:
            restarting.start()

    server.seconds_a_token = 0.002
    server.fault = restart
    assert sweep(tmp_path / "out", server, model, task) == 0
    restarting.join()
    found = drawn(tmp_path / "out")
    assert len(found) == PROBLEMS * WIDTH
    assert len(server.bodies) > len(found), "nothing was lost"
    by_seed = {body["seed"]: body for body in server.bodies}
    assert {tuple(tokens) for tokens, _, _ in found.values()} == {tuple(server.says(b)) for b in by_seed.values()}


def test_another_model_in_the_same_folder(tmp_path, server, model, task, capsys):
    assert sweep(tmp_path / "out", server, model, task, "--limit", "2") == 0
    server.name = "fine-tuned"
    assert sweep(tmp_path / "out", server, model, task) == 2
    assert "served_model" in capsys.readouterr().err


def test_mistakes_end_in_one_line(tmp_path, server, model, task, capsys, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "another")
    assert sweep(tmp_path / "out", server, model, task) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last == f"error: {server.url}: 401, the key in OPENAI_API_KEY is refused"


def test_text_without_a_token_is_a_chain_all_the_same(tmp_path, server, model, task, monkeypatch):
    server.gives_ids = False
    monkeypatch.setattr(server, "text", lambda tokens: "")
    assert sweep(tmp_path / "out", server, model, task) == 0
    samples = rows(table(tmp_path / "out", "samples"))
    assert {row["accounting"] for row in samples} == {"from_text"}
    assert {(row["finish_reason"], row["generated_tokens"]) for row in samples} == {("stop", 1), ("length", 1)}
    assert {row["text"] for row in samples} == {""}
