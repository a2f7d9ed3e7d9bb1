"""kill -9 in the midst of runs of any backend, then the same command: the samples of a sweep that none disturbed."""

from __future__ import annotations

import random
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import numba
import pandas as pd
import pytest
import torch

import hyperscale.cli.show

# What a sweep imports only when it gets there: the processes to be killed are forked with all of it.
import hyperscale.engines.torch.engine
import hyperscale.executors.local
import hyperscale.grading.math
import hyperscale.sweep.run  # noqa: F401
from hyperscale.backends import backend_class, backend_names
from hyperscale.cli.main import run
from tests.extent import extent
from tests.folders import KEY, rows, table
from tests.gated_models import write_gated_model
from tests.processes import PROCESSES
from tests.sums import write_sums

BACKENDS: tuple[str, ...] = extent(("tova", "dms", "dmc"), tuple(backend_names()))
"""One that evicts by what it attends to, and those that a gate steers; in the whole suite all."""
# A checkpoint has gates for one of DMS and DMC; the other backends do without.
SWEEPS = {"ours-linear": tuple(name for name in BACKENDS if name != "dmc"), "ours-dmc": ("dmc",)}
PROBLEMS, WIDTH, KILLS = 3, 2, 3
TIMED = ["step_micros", "step_threads", "prefill_seconds", "batch_threads", "device_bytes"]
TIMED += ["peak_flops", "peak_bandwidth"]


@dataclass(frozen=True)
class Killed:
    """The samples of one sweep: undisturbed, after each kill, and once the same command had completed it."""

    undisturbed: pd.DataFrame
    left: list[pd.DataFrame]
    resumed: pd.DataFrame
    on_disk: pd.DataFrame
    """As `resumed`, read plainly: rows that do not count are there too."""


def live(arguments: list[str]) -> None:
    # With two threads steps this small wait for each other, on a busy machine ten times as long as they work.
    torch.set_num_threads(1)
    numba.config.NUMBA_NUM_THREADS = 1
    sys.exit(run(arguments))


def started(arguments: list[str]) -> ForkServerProcess:
    child = PROCESSES.Process(target=live, args=(arguments,))
    child.start()
    return child


def stored(folder: Path) -> int:
    """Samples on disk; a sweep writes one a part, and merges them at its end."""
    return len(list(folder.glob("samples/part-*.parquet")))


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Killed]:
    """By backend; those of one checkpoint are swept together."""
    root = tmp_path_factory.mktemp("killed")
    task, rng = write_sums(root, PROBLEMS), random.Random(5)
    found: dict[str, Killed] = {}
    for layout, backends in SWEEPS.items():
        write_gated_model(root / layout, layout)
        # B = 32: a prompt fits, its threads do not. A kill leaves threads for other batches, which may round otherwise.
        arguments = ["sweep", "--model", str(root / layout), "--tasks", str(task), "--dtype", "float32"]
        arguments += ["--device", "cpu", "--widths", str(WIDTH), "--lengths", "64", "--cr", "2", "--temperature", "1"]
        arguments += ["--seed", "3", "--backends", ",".join(backends), "--max-batch", "3", "--memory-budget", "64MB"]
        arguments += ["--batch-invariant", "--output-dir"]
        folder, left = root / f"{layout}-killed", []
        for backend in sorted(rng.sample(range(len(backends)), min(KILLS, len(backends)))):
            samples = (backend + rng.uniform(0.1, 0.7)) * PROBLEMS * WIDTH
            child = started([*arguments, str(folder)])
            while child.is_alive() and stored(folder) < samples:
                time.sleep(0.002)
            time.sleep(rng.uniform(0, 0.02))
            child.kill()
            child.join()
            assert child.exitcode == -signal.SIGKILL, "the sweep had ended by itself"
            # Opening a folder clears it up, which is left to the command itself.
            left.append(table(shutil.copytree(folder, root / f"{layout}-{backend}"), "samples"))
        for target in (folder, root / f"{layout}-undisturbed"):
            child = started([*arguments, str(target)])
            child.join()
            assert child.exitcode == 0
        killed = Killed(table(target, "samples"), left, table(folder, "samples"), pd.read_parquet(folder / "samples"))
        found |= dict.fromkeys(backends, killed)
    return found


def of(backend: str, frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["backend"] == backend].reset_index(drop=True)


def test_kills_came_in_the_midst_of_a_run(sweeps: dict[str, Killed]) -> None:
    partial = {
        backend
        for backend, killed in sweeps.items()
        if any(0 < len(of(backend, frame)) < PROBLEMS * WIDTH for frame in killed.left)
    }
    assert partial


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_killed_sweep_is_resumed_to_the_same_samples(sweeps: dict[str, Killed], backend: str) -> None:
    undisturbed, resumed = (
        of(backend, frame).drop(columns=TIMED) for frame in (sweeps[backend].undisturbed, sweeps[backend].resumed)
    )
    assert len(undisturbed) == PROBLEMS * WIDTH
    pd.testing.assert_frame_equal(resumed, undisturbed)
    if backend_class(backend).overwrites and backend != "vanilla":
        held = [live / len(row["row_live"]) for row in rows(resumed) for live in row["step_live"]]
        assert max(held) < 64, "nothing was compressed"


@pytest.mark.parametrize("layout", SWEEPS)
def test_nothing_that_a_kill_left_is_lost_or_generated_again(sweeps: dict[str, Killed], layout: str) -> None:
    killed = sweeps[SWEEPS[layout][0]]
    before: dict[tuple[str, ...], tuple[int, ...]] = {}
    for frame in (*killed.left, killed.resumed):
        # Of the same tokens made twice the times would differ.
        times = {tuple(row[name] for name in KEY): row["step_micros"] for row in rows(frame)}
        assert before.items() <= times.items()
        before = times
    assert len(killed.on_disk) == len(before) == PROBLEMS * WIDTH * len(SWEEPS[layout])
