"""The training run: steps, a state that survives a kill, a log, and the final checkpoint."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
import torch.nn.functional as F
from torch import Tensor

from hyperscale.pretrain.corpus import KINDS, Step, steps_of
from hyperscale.pretrain.recipe import Recipe, make_start
from hyperscale.process.interrupt import Interrupt
from hyperscale.retrofit.log import Row, read_log, replace_log
from hyperscale.storage.files import replacing
from hyperscale.storage.lock import FolderLock
from hyperscale.tasks.generators.vocabulary import write_tokenizer

STATE, CHECKPOINT = "state.pt", "checkpoint"
_LOG_EVERY = 25

_SCHEMA = pa.schema(
    [
        pa.field("step", pa.int64()),
        pa.field("tokens", pa.int64()),  # up to this step, without padding
        pa.field("seconds", pa.float64()),  # up to this step, over all sessions
        pa.field("loss", pa.float64()),  # nats per token, verdicts weighted double
        pa.field("lr", pa.float64()),
        *(pa.field(kind, pa.float64()) for kind in KINDS),  # nats per token of the step's chains of this kind
    ]
)
"""Columns of log.parquet."""

OnRow = Callable[[Row], None]
"""Callback for a row of the log."""


def write_log(folder: Path, rows: list[Row]) -> None:
    """Replace the log."""
    replace_log(folder, rows, _SCHEMA)


class Training:
    """A run in a folder, resumed from the folder's state if there is one."""

    def __init__(self, recipe: Recipe, folder: Path, *, compiled: bool = False) -> None:
        self.recipe, self.folder = recipe, folder
        self.model = make_start(recipe)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=recipe.lr, betas=(0.9, 0.95), weight_decay=0.0)
        self.step = self.group = self.index = self.tokens = 0
        """Steps taken; place of the next one in the corpus; tokens seen, without padding."""
        self.seconds = 0.0
        self._steps: list[Step] = []
        self._pass = self._forward
        if compiled:
            # Eight shapes exceed the default limit.
            torch._dynamo.config.recompile_limit = 64
            self._pass = torch.compile(self._forward, dynamic=False)
        self._restore()

    def take_step(self) -> Row:
        """Take the next step; return its row of the log."""
        started = time.monotonic()
        if not self._steps:
            self._steps = steps_of(self.recipe, self.group)
        batch = self._steps[self.index]
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate(self.step)
        loss, nll_bt = self._pass(batch.tokens_bt, batch.targets_bt, batch.weights_bt)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self.index += 1
        if self.index == len(self._steps):
            self.group, self.index, self._steps = self.group + 1, 0, []
        self.tokens += int(batch.tokens_bt.count_nonzero())
        self.seconds += time.monotonic() - started
        return self._row(batch, float(loss.detach()), nll_bt.detach())

    def save(self) -> None:
        """Write the state that a later session resumes from."""
        state = {
            "recipe": asdict(self.recipe),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "at": [self.step, self.group, self.index, self.tokens, self.seconds],
        }
        with replacing(self.folder / STATE) as aside:
            torch.save(state, aside)

    def export(self) -> Path:
        """Write the checkpoint in transformers' layout, weights rounded to bfloat16; return its folder."""
        target, aside = self.folder / CHECKPOINT, self.folder / f".{CHECKPOINT}.tmp"
        shutil.rmtree(aside, ignore_errors=True)
        exported = type(self.model)(self.model.config).bfloat16()
        exported.load_state_dict(self.model.state_dict())
        exported.save_pretrained(aside)
        write_tokenizer(aside)
        shutil.rmtree(target, ignore_errors=True)
        aside.rename(target)
        return target

    def _forward(self, tokens_bt: Tensor, targets_bt: Tensor, weights_bt: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast("cpu", torch.bfloat16):
            logits_btv = self.model(input_ids=tokens_bt, use_cache=False).logits.float()
        nll_bt = F.cross_entropy(logits_btv.flatten(0, 1), targets_bt.flatten(), ignore_index=-1, reduction="none")
        nll_bt = nll_bt.view_as(targets_bt)
        return (nll_bt * weights_bt).sum() / weights_bt.sum(), nll_bt

    def _row(self, batch: Step, loss: float, nll_bt: Tensor) -> Row:
        row: dict[str, Any] = {
            "step": self.step, "tokens": self.tokens, "seconds": self.seconds, "loss": loss,
            "lr": self.optimizer.param_groups[0]["lr"],
        }  # fmt: skip
        for kind, name in enumerate(KINDS):
            counted = batch.weights_bt[batch.kind_b == kind] > 0
            row[name] = float(nll_bt[batch.kind_b == kind][counted].mean()) if counted.any() else None
        return row

    def _restore(self) -> None:
        path = self.folder / STATE
        if not path.exists():
            if (self.folder / CHECKPOINT).exists():
                raise ValueError(f"{self.folder}: holds a checkpoint without its state; choose another --output-dir")
            return
        try:
            state = torch.load(path, weights_only=True)
        except Exception as error:  # a damaged file raises many types
            raise ValueError(f"{path}: not a state of this command; delete it or choose another folder") from error
        if state["recipe"] != asdict(self.recipe):
            raise ValueError(f"{self.folder}: holds a run of another recipe; choose another folder")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.group, self.index, self.tokens, self.seconds = state["at"]


def train(recipe: Recipe, folder: Path, on_row: OnRow, *, compiled: bool, save_minutes: float = 2.0) -> Path | None:
    """Train to the recipe's end and export; return None, with the state saved, if a signal interrupted it."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FolderLock(folder)
    try:
        with Interrupt() as interrupt:
            training = Training(recipe, folder, compiled=compiled)
            rows = read_log(folder, training.step)
            saved = time.monotonic()
            while training.step < recipe.steps:
                row = training.take_step()
                if training.step % _LOG_EVERY == 0 or training.step == recipe.steps:
                    rows.append(row)
                    on_row(row)
                if interrupt.requested or time.monotonic() - saved > 60 * save_minutes:
                    write_log(folder, rows)
                    training.save()
                    saved = time.monotonic()
                if interrupt.requested:
                    return None
            write_log(folder, rows)
            training.save()
            return training.export()
    finally:
        lock.release()
