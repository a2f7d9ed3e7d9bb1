"""The whole corridor with the real engine and a tiny random model: nothing here is faked."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from hyperscale.cli.main import run
from hyperscale.kvcache.block_pool import BLOCK_SIZE, blocks_for
from tests.folders import rows, table
from tests.sums import sweep_tiny, write_sums
from tests.tiny_models import write_tiny_model

COUNTED = ["tokens", "text", "finish_reason", "step_reads", "step_live", "step_pages", "page_shared"]
UNTIMED = [
    "accuracy",
    "tied",
    "kv_reads",
    "peak_tokens",
    "peak_tokens_sum",
    "peak_bytes",
    "peak_bytes_sum",
    "mean_length",
    "truncated_share",
    "pool",
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model"), "qwen2")


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sums(tmp_path_factory.mktemp("task"), problems=4)


def swept(folder: Path, model: Path, task: Path, widths: str, lengths: str) -> Path:
    return sweep_tiny(folder, model, task, "--widths", widths, "--lengths", lengths)


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory, model: Path, task: Path) -> Path:
    grid = "--widths", "1,2,4", "--lengths", "64,96,128"
    return sweep_tiny(
        tmp_path_factory.mktemp("grid") / "out", model, task, *grid, "--latency", "--latency-seconds", "0.01"
    )


def of_threads(folder: Path, width: int) -> pd.DataFrame:
    samples = table(folder, "samples")
    return samples[samples["thread"] < width].reset_index(drop=True)


@pytest.mark.parametrize(("width", "length"), [(1, 64), (2, 96), (4, 64), (4, 128)])
def test_a_covered_point_is_the_point_generated_alone(tmp_path, model, task, grid, width, length):
    alone = swept(tmp_path / "alone", model, task, str(width), str(length))
    pairs = zip(rows(of_threads(grid, width)), rows(table(alone, "samples")), strict=True)
    for covering, single in pairs:
        kept = min(covering["generated_tokens"], length - covering["prompt_tokens"])
        assert single["tokens"] == covering["tokens"][:kept]
        assert single["text"] == covering["text"][: covering["text_ends"][kept - 1]]
        for name in ("step_reads", "step_live", "step_pages"):
            assert single[name] == covering[name][:kept]
    if width == 4:  # the grid's pool is then the point's own
        found = [
            pd.read_parquet(folder / "outcomes.parquet").query(f"width == {width} and length == {length}")
            for folder in (grid, alone)
        ]
        left, right = (frame.sort_values("problem_id", ignore_index=True)[["problem_id", *UNTIMED]] for frame in found)
        pd.testing.assert_frame_equal(left, right)


def test_points_have_vanillas_closed_form(grid):
    samples = of_threads(grid, 4)
    for point in rows(pd.read_parquet(grid / "points.parquet")):
        width, length = point["width"], point["length"]
        reads, peaks, own_pages = [], [], []
        for sample in rows(samples):
            prompt, last = sample["prompt_tokens"], min(sample["prompt_tokens"] + sample["generated_tokens"], length)
            reads.append(sum(range(prompt + 1, last + 1)))
            peaks.append(last)
            own_pages.append(blocks_for(last) - prompt // BLOCK_SIZE)
        n = len(samples)
        assert point["kv_reads"] == pytest.approx(width * sum(reads) / n)
        assert point["peak_tokens_sum"] == pytest.approx(width * sum(peaks) / n)
        prompt_pages = (samples["prompt_tokens"] // BLOCK_SIZE).mean()
        token_rows = samples["layers"][0] * samples["kv_heads"][0]
        pages = token_rows * (prompt_pages + width * sum(own_pages) / n)
        assert point["peak_bytes_sum"] == pytest.approx(pages * samples["page_bytes"][0])
        for name in ("peak_tokens", "peak_bytes"):
            assert point[name] <= point[f"{name}_sum"] * (1 + 1e-12)
            if width == 1:
                assert point[name] == pytest.approx(point[f"{name}_sum"])
        assert point["realised_ratio"] == pytest.approx(1)
        assert point["throughput"] > 0


def test_extending_generates_only_what_is_missing(tmp_path, model, task, grid):
    folder = swept(tmp_path / "out", model, task, "1,2", "64,96")
    before = {(row["problem_id"], row["thread"]): row for row in rows(table(folder, "samples"))}
    swept(folder, model, task, "1,2,4", "64,96,128")
    pd.testing.assert_frame_equal(of_threads(folder, 4)[COUNTED], of_threads(grid, 4)[COUNTED])
    for row in rows(of_threads(folder, 2)):
        old = before[row["problem_id"], row["thread"]]
        if old["finish_reason"] == "stop":
            assert row["step_micros"] == old["step_micros"], "a finished sample was generated again"


def test_the_figure_is_drawn_from_the_folder(tmp_path, grid):
    assert run(["figures", str(grid), "--out", str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} >= {"pareto.png", "pareto.pdf"}


@pytest.mark.slow
def test_a_killed_sweep_completes_to_the_same_samples(tmp_path, model, task, grid):
    """SIGKILL twice, each once new samples are on disk, then the same command to its end."""
    folder = tmp_path / "out"
    arguments = ["sweep", "--model", str(model), "--tasks", str(task), "--dtype", "float32", "--device", "cpu"]
    arguments += ["--widths", "1,2,4", "--lengths", "64,96,128", "--temperature", "1", "--seed", "3"]
    arguments += ["--max-batch", "2", "--memory-budget", "64MB", "--output-dir", str(folder)]
    acknowledged: dict[tuple[str, int], tuple[int, ...]] = {}
    for _ in range(2):
        child = subprocess.Popen([sys.executable, "-c", f"from hyperscale.cli.main import run; run({arguments!r})"])
        while child.poll() is None and len(list(folder.glob("samples/part-*.parquet"))) <= len(acknowledged):
            time.sleep(0.01)
        child.kill()
        child.wait()
        stored = {(row["problem_id"], row["thread"]): row["step_micros"] for row in rows(table(folder, "samples"))}
        assert acknowledged.items() <= stored.items()
        acknowledged = stored
    assert 0 < len(acknowledged) < 16
    assert run(arguments) == 0
    final = table(folder, "samples")
    pd.testing.assert_frame_equal(final[COUNTED], table(grid, "samples")[COUNTED])
    kept = {(row["problem_id"], row["thread"]): row["step_micros"] for row in rows(final)}
    assert acknowledged.items() <= kept.items(), "a finished sample was generated again"
    assert len(pd.read_parquet(folder / "samples")) == 16
