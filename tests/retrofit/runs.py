"""Small retrofits for tests, some in processes that can be killed."""

from __future__ import annotations

import json
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hyperscale.retrofit.config import RetrofitConfig, make_retrofit
from hyperscale.retrofit.log import Row
from hyperscale.retrofit.progress import Progress
from hyperscale.retrofit.run import Report, retrofit
from tests.tiny_models import write_tiny_model

WORDS = ("the", "sum", "of", "a", "tree", "is", "12", "and", "then", "they", "add", "7")


def write_text(path: Path, documents: int = 80) -> Path:
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, rng.integers(2, 30))) for _ in range(documents)]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def fields(folder: Path, **more: Any) -> dict[str, Any]:
    """A config of 12 steps on a tiny Qwen3 under `folder`."""
    model = folder / "model"
    if not model.exists():
        write_tiny_model(model, "qwen3")
        write_text(folder / "text.jsonl")
    return {
        "model": str(model), "data": str(folder / "text.jsonl"), "context": 48, "batch_size": 4, "window": 4,
        "scale": 10.0, "target_cr": 3.0, "save_crs": (2.0,), "steps_per_cr": 6, "lr": 1e-2,
        "output_dir": str(folder / "out"), **more,
    }  # fmt: skip


def config(folder: Path, **more: Any) -> RetrofitConfig:
    return make_retrofit(**fields(folder, **more))


def run(folder: Path, **more: Any) -> Report:
    return retrofit(config(folder, **more), Progress(None))


class Slow(Progress):
    """Sends the number of every step that was taken, and how many samples were drawn; takes its time."""

    def __init__(self, told: Connection) -> None:
        super().__init__(None)
        self._told = told

    def sampling(self, done: int, rows: int) -> None:
        self._told.send(f"{done}/{rows}")
        time.sleep(0.05)

    def update(self, row: Row) -> None:
        self._told.send(row["step"])
        time.sleep(0.05)


def live(settings: dict[str, Any], told: Connection) -> None:
    """A run in a process of its own."""
    torch.set_num_threads(1)
    retrofit(make_retrofit(**settings), Slow(told))


if __name__ == "__main__":
    torch.set_num_threads(1)
    retrofit(make_retrofit(**json.loads(Path(sys.argv[1]).read_text())), Progress(None))
