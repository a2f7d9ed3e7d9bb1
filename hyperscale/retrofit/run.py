"""A retrofit from folder to folder: loads, trains, saves the family, resumes."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hyperscale.executors.local import weights_sha
from hyperscale.interrupt import Interrupt
from hyperscale.model.load import Model, load_model, load_spec
from hyperscale.model.source import find
from hyperscale.provenance import new_session, now
from hyperscale.results.files import replacing
from hyperscale.results.lock import FolderLock
from hyperscale.results.manifest import check_identity
from hyperscale.retrofit.batches import Batches
from hyperscale.retrofit.config import RetrofitConfig
from hyperscale.retrofit.export import checkpoint_name, export, source_config, write_base
from hyperscale.retrofit.log import Row, read_log, write_log
from hyperscale.retrofit.parallel import World
from hyperscale.retrofit.progress import Progress
from hyperscale.retrofit.state import load_state, save_state
from hyperscale.retrofit.text import PackedText, read_hub, read_jsonl
from hyperscale.retrofit.trainer import Trainer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

RUN = "run.json"

Source = Callable[["PreTrainedTokenizerBase"], Batches]
"""Makes batches once the model's tokenizer is there."""


class Report(NamedTuple):
    """What a session did."""

    folder: Path
    checkpoints: list[Path]
    rows: list[Row]
    interrupted: bool


def retrofit(
    config: RetrofitConfig, progress: Progress, command: Sequence[str] = (), source: Source | None = None
) -> Report:
    """Train until the family is there, or until interrupted; go on from what the folder holds.

    `source`: where batches come from, if not from the text that the config names. ValueError for whatever the user can
    mend.
    """
    with World() as world:
        if world.size > 1 and config.fade_steps:
            raise ValueError("borrowed neurons cannot fade in several processes yet: run in one, or --fade-steps 0")
        leads = world.rank == 0
        lock = _Folder(config.output_dir) if leads else nullcontext()
        with lock, Interrupt() as interrupt:
            session = _Session(config, source or text_source(config), world, command)
            interrupted = session.train(progress, interrupt)
            folder = config.output_dir
            done = [folder / checkpoint_name(ratio) for ratio in config.family]
            return Report(folder, [path for path in done if path.exists()], session.log, interrupted)


def text_source(config: RetrofitConfig) -> Source:
    """Batches of the text that the config names, which is read at once; ValueError if it cannot be had."""
    if config.data is not None:
        texts, identity = read_jsonl(config.data, config.text_field)
    elif config.dataset is not None:
        texts, identity = read_hub(
            config.dataset, config.dataset_config, config.split, config.dataset_revision, config.text_field
        )
    else:
        raise ValueError("say what to train on: --data FILE.jsonl or --dataset HUB_ID")
    rows = config.schedule.steps * config.batch_size

    def make(tokenizer: PreTrainedTokenizerBase) -> Batches:
        return PackedText(
            texts, identity, tokenizer,
            context=config.context, batch_size=config.batch_size, rows=rows, seed=config.seed,
        )  # fmt: skip

    return make


class _Folder:
    """The run's folder, made if need be, for this process alone."""

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise ValueError(f"--output-dir {folder}: is a file") from None
        others = [path for path in folder.iterdir() if not path.name.startswith(".")]
        if others and not (folder / RUN).exists():
            raise ValueError(f"--output-dir {folder}: holds something else ({others[0].name}); choose another")
        self._folder = folder

    def __enter__(self) -> None:
        self._lock = FolderLock(self._folder)
        for left in self._folder.glob(".*.tmp"):  # of a session that was killed
            shutil.rmtree(left) if left.is_dir() else left.unlink()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class _Session:
    """One process's work on a run."""

    def __init__(self, config: RetrofitConfig, source: Source, world: World, command: Sequence[str]) -> None:
        self._config, self._world, self._leads = config, world, world.rank == 0
        model = _load(config, world)
        batches = source(model.tokenizer)
        folder = config.output_dir
        if self._leads:
            self._record(model, batches, command)
            path = find(config.model, config.revision, weights=True).path
            write_base(folder, path, model, with_weights=config.train == "gates")
        self._trainer = Trainer(model.decoder, config, batches, world)
        state = load_state(folder)
        if state is not None:
            self._trainer.restore(state)
        self.log = read_log(folder, self._trainer.step)
        self._due = {config.schedule.step_of(ratio): ratio for ratio in config.family}
        for step, ratio in self._due.items():
            if step < self._trainer.step and not (folder / checkpoint_name(ratio)).exists():
                reached = config.schedule.ratio(self._trainer.step)
                raise ValueError(
                    f"--save-crs {ratio:g}: {folder} stands at CR {reached:g} already, "
                    "and no checkpoint was saved on the way; choose another --output-dir"
                )

    def train(self, progress: Progress, interrupt: Interrupt) -> bool:
        """Take the steps that are left; whether a signal broke them off."""
        trainer, steps = self._trainer, self._config.schedule.steps
        self._export()
        progress.start(trainer.step, steps)
        saved = time.monotonic()
        while trainer.step < steps:
            self.log.append(row := trainer.take_step())
            progress.update(row)
            # Several processes save together, and only the first has a clock that counts.
            late = self._world.agree(time.monotonic() - saved >= 60 * self._config.save_minutes or interrupt.requested)
            if trainer.step in self._due or late:
                self._save()
                self._export()
                saved = time.monotonic()
            if self._world.agree(interrupt.requested):
                return trainer.step < steps
        return False

    def _save(self) -> None:
        state = self._trainer.state()
        if self._leads:
            # The log first: rows beyond the state are dropped when a run goes on, but none must be missing.
            write_log(self._config.output_dir, self.log)
            save_state(self._config.output_dir, state)

    def _export(self) -> None:
        """Write the checkpoint that is due at this step, unless it is there."""
        ratio, folder = self._due.get(self._trainer.step), self._config.output_dir
        if ratio is None or (folder / checkpoint_name(ratio)).exists():
            return
        weights = self._trainer.weights()
        if self._leads:
            export(folder, ratio, self._trainer.decoder.spec, self._config.gates(ratio), weights)

    def _record(self, model: Model, batches: Batches, command: Sequence[str]) -> None:
        """Enter this session into run.json; ValueError with a diff if the folder holds another run."""
        path = self._config.output_dir / RUN
        identity = {
            "config": self._config.identity(),
            "data": batches.identity,
            "model": {"resolved_revision": model.revision, "weights_sha": weights_sha(model.decoder)},
        }
        run: dict[str, Any] = {"identity": identity, "created": now(), "sessions": []}
        if path.exists():
            run = json.loads(path.read_text(encoding="utf-8"))
            check_identity(run["identity"], identity)
        run["config"] = self._config.model_dump(mode="json")
        run["sessions"].append(new_session(command))
        with replacing(path) as aside:
            aside.write_text(json.dumps(run, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _load(config: RetrofitConfig, world: World) -> Model:
    """The original in float32; ValueError if it cannot be retrofitted."""
    spec = load_spec(config.model, config.revision)
    if spec.gates is not None:
        raise ValueError(f"{config.model} has gates already (form {spec.gates.form}): retrofit the model it came from")
    if config.data or config.dataset:
        longest = config.context
        if longest > spec.max_length:
            raise ValueError(f"--context {longest:,} is beyond the {spec.max_length:,} positions of {config.model}")
    source_config(find(config.model, config.revision, weights=True).path)
    device = config.device if world.size == 1 else world.device
    return load_model(config.model, revision=config.revision, dtype="float32", device=device)
