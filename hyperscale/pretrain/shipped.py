"""Retrofits of the shipped model (`make retrofit-tiny`), which make the families `tiny` and `tiny-immediate`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from hyperscale.model.source import write_family
from hyperscale.pretrain.corpus import Document, document
from hyperscale.pretrain.recipe import Recipe
from hyperscale.retrofit.batches import Batch, padded
from hyperscale.retrofit.config import RetrofitConfig, make_retrofit
from hyperscale.retrofit.export import checkpoint_name
from hyperscale.retrofit.progress import Progress
from hyperscale.retrofit.run import retrofit
from hyperscale.tasks.generators import GENERATORS

DOCUMENT_SEED = 1
"""Another seed than pretraining's: the retrofits see other problems, but none of the test set."""

_COMMON: dict[str, Any] = {
    "context": Recipe.max_tokens, "batch_size": 16, "lr": 5e-4, "steps_per_cr": 50, "window": 16, "scale": 10.0,
    "target_cr": 8.0, "save_crs": (2.0, 3.0, 4.0, 6.0), "autocast": True,
}  # fmt: skip
RETROFITS: dict[str, dict[str, Any]] = {
    "dms": _COMMON,
    "immediate": {**_COMMON, "immediate": True},
    # Twice the steps per unit of CR, and in all as many as DMS takes to CR 8.
    "dmc": {
        **_COMMON, "method": "dmc", "scale": 100.0, "target_cr": 4.0, "save_crs": (2.0, 3.0), "steps_per_cr": 100,
        "fade_steps": 50,
    },
}  # fmt: skip
"""Config fields of each run."""
FAMILIES: dict[str, dict[tuple[str, float], str]] = {
    ".": {("dms", 4.0): "dms", ("dms", 8.0): "dms", ("dmc", 4.0): "dmc"},
    "immediate": {("dms", 4.0): "immediate", ("dms", 8.0): "immediate"},
}
"""Subfolder of a family -> (backend, ratio) of its members -> their run."""


class Documents:
    """Batches of both tasks' documents in turn, one per row; the loss counts the chain."""

    def __init__(self, batch_size: int, max_tokens: int) -> None:
        self._batch_size, self._max_tokens = batch_size, max_tokens
        self.identity = f"generated documents, seed {DOCUMENT_SEED}, at most {max_tokens} tokens"

    def batch(self, step: int) -> Batch:
        """Return the documents of a step, counted from 1."""
        numbers = range((step - 1) * self._batch_size, step * self._batch_size)
        chosen = [self._document(number) for number in numbers]
        batch = padded([found.tokens for found in chosen])
        # A prompt is random: the original was not trained to predict it.
        for counted_t, found in zip(batch.counted_bt, chosen, strict=True):
            counted_t[: found.prompt_tokens - 1] = False
        return batch

    def _document(self, number: int) -> Document:
        kind = list(GENERATORS)[number % len(GENERATORS)]
        found = document(kind, DOCUMENT_SEED, number, self._max_tokens)
        # Replace a trace that is too long by one from far down the stream, which is not used otherwise.
        again = 1
        while len(found.tokens) > self._max_tokens:
            found = document(kind, DOCUMENT_SEED, number + again * 10**9, self._max_tokens)
            again += 1
        return found


def config_of(name: str, model: Path, folder: Path, **changed: Any) -> RetrofitConfig:
    """Return the config of a run, in `folder`/NAME."""
    return make_retrofit(**{**RETROFITS[name], "model": str(model), "output_dir": folder / name, **changed})


def run_retrofit(config: RetrofitConfig, progress: Progress) -> bool:
    """Train or resume; return whether it finished."""
    report = retrofit(config, progress, make_batches=lambda _: Documents(config.batch_size, config.context))
    return not report.interrupted


def assemble(model: Path, runs: Path, target: Path) -> None:
    """Write the original and the families to `target`, replacing it as a whole."""
    aside = target.with_name(f".{target.name}.tmp")
    shutil.rmtree(aside, ignore_errors=True)
    shutil.copytree(model, aside)
    for family, members in FAMILIES.items():
        folder = aside / family
        folder.mkdir(exist_ok=True)
        declared = {}
        for (backend, ratio), run in members.items():
            name = f"{backend}-{checkpoint_name(ratio)}"
            shutil.copytree(runs / run / checkpoint_name(ratio), folder / name)
            declared[backend, ratio] = name
        write_family(folder, "." if folder == aside else "..", None, declared)
    shutil.rmtree(target, ignore_errors=True)
    aside.rename(target)
