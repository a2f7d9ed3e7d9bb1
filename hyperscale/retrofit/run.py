"""A retrofit from end to end: load, train, save the family, resume."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

from hyperscale.model.checkpoint import source_config
from hyperscale.model.load import Model, load_model, load_spec
from hyperscale.model.source import find
from hyperscale.model.weights import weights_sha
from hyperscale.process.interrupt import Interrupt
from hyperscale.retrofit.batches import Batches
from hyperscale.retrofit.config import RetrofitConfig
from hyperscale.retrofit.export import checkpoint_name, declare_family, export, write_base
from hyperscale.retrofit.folder import RunFolder, record
from hyperscale.retrofit.log import Reached, Row, reached, read_log, short_text, write_log
from hyperscale.retrofit.parallel import World, load_state, save_state
from hyperscale.retrofit.progress import Progress
from hyperscale.retrofit.samples import MakeBatches, OwnSamples, text_batches
from hyperscale.retrofit.trainer import Trainer


class Report(NamedTuple):
    """Result of a session."""

    folder: Path
    checkpoints: list[Path]
    reached: list[Reached | None]
    """Averages at each checkpoint; None if the log has no row for it."""
    rows: list[Row]
    interrupted: bool


def retrofit(
    config: RetrofitConfig, progress: Progress, command: Sequence[str] = (), make_batches: MakeBatches | None = None
) -> Report:
    """Train until the family is complete or a signal arrives; resume from the folder's state.

    `make_batches` replaces the text that the config names. Raise ValueError for a user's mistake.
    """
    with World() as world:
        if world.size > 1 and config.fade_steps:
            raise ValueError(
                "borrowed neurons cannot fade in several processes: run one process, or use --fade-steps 0"
            )
        leads = world.rank == 0
        lock = RunFolder(config.output_dir) if leads else nullcontext()
        with lock, Interrupt() as interrupt:
            model, batches = _open(config, make_batches or text_batches(config), world, command)
            if isinstance(batches, OwnSamples) and not batches.draw(model, world, progress, interrupt):
                return _report(config, read_log(config.output_dir, config.schedule.steps), interrupted=True)
            session = _Session(config, model, batches, world)
            del model  # The original is no longer needed if only gates train.
            interrupted = session.train(progress, interrupt)
            return _report(config, session.log, interrupted)


class _Session:
    """One process's share of a run."""

    def __init__(self, config: RetrofitConfig, model: Model, batches: Batches, world: World) -> None:
        self._config, self._world, self._leads = config, world, world.rank == 0
        self._revision = model.revision
        folder = config.output_dir
        self._trainer = Trainer(model.decoder, config, batches, world)
        state = load_state(folder)
        if state is not None:
            self._trainer.restore(state)
        self.log = read_log(folder, self._trainer.step)
        self._due = {config.schedule.step_of(ratio): ratio for ratio in config.family}
        for step, ratio in self._due.items():
            if step < self._trainer.step and not (folder / checkpoint_name(ratio)).exists():
                stands = config.schedule.ratio(self._trainer.step)
                raise ValueError(
                    f"--save-crs {ratio:g}: {folder} stands at CR {stands:g} already "
                    "and saved no checkpoint there; choose another --output-dir"
                )

    def train(self, progress: Progress, interrupt: Interrupt) -> bool:
        """Take the remaining steps; return whether a signal interrupted them."""
        trainer, steps = self._trainer, self._config.schedule.steps
        self._export(progress)
        progress.start(trainer.step, steps)
        if self._leads and self._config.method == "dms":
            warning = short_text(trainer.batches, trainer.step, steps, self._config.window)
            if warning:
                progress.warn(warning)
        saved = time.monotonic()
        while trainer.step < steps:
            self.log.append(row := trainer.take_step())
            progress.update(row)
            # Processes save together. Check for a signal once per step: one that arrives later must wait for the next
            # step, or the session would end without a state.
            stop = self._world.agree(interrupt.requested)
            late = stop or self._world.agree(time.monotonic() - saved >= 60 * self._config.save_minutes)
            if trainer.step in self._due or late:
                self._save()
                self._export(progress)
                saved = time.monotonic()
            if stop:
                return trainer.step < steps
        return False

    def _save(self) -> None:
        state = self._trainer.state()
        if self._leads:
            # The log first: a resumed run drops rows beyond its state, but none may be missing.
            write_log(self._config.output_dir, self.log)
            save_state(self._config.output_dir, state)

    def _export(self, progress: Progress) -> None:
        """Write the checkpoint due at this step, unless it exists."""
        ratio, folder = self._due.get(self._trainer.step), self._config.output_dir
        if ratio is not None and not (folder / checkpoint_name(ratio)).exists():
            weights = self._trainer.weights()
            if self._leads:
                found = reached(self.log, self._trainer.step)
                export(folder, ratio, self._trainer.decoder.spec, self._config.gates(ratio), weights, found)
                if found is not None and found.missed:
                    progress.warn(found.warning(checkpoint_name(ratio)))
        if self._leads:
            declare_family(self._config, self._revision)


def _report(config: RetrofitConfig, rows: list[Row], interrupted: bool) -> Report:
    folder = config.output_dir
    done = [ratio for ratio in config.family if (folder / checkpoint_name(ratio)).exists()]
    return Report(
        folder, [folder / checkpoint_name(ratio) for ratio in done],
        [reached(rows, config.schedule.step_of(ratio)) for ratio in done], rows, interrupted,
    )  # fmt: skip


def _open(
    config: RetrofitConfig, make_batches: MakeBatches, world: World, command: Sequence[str]
) -> tuple[Model, Batches]:
    """Load the original and the data; record this session in the run's folder."""
    model = _load(config, world)
    batches = make_batches(model.tokenizer)
    if world.rank == 0:
        identity = {
            "config": config.identity(),
            "data": batches.identity,
            "model": {"resolved_revision": model.revision, "weights_sha": weights_sha(model.decoder)},
        }
        record(config.output_dir, config, identity, command)
        path = find(config.model, config.revision, weights=True).path
        write_base(config.output_dir, path, model, with_weights=config.train == "gates")
    return model, batches


def _load(config: RetrofitConfig, world: World) -> Model:
    """Load the original in float32; ValueError if it cannot be retrofitted."""
    spec = load_spec(config.model, config.revision)
    if spec.gates is not None:
        raise ValueError(f"{config.model} has gates already (form {spec.gates.form}): retrofit its original model")
    if config.data or config.dataset:
        longest = config.context
        if longest > spec.max_length:
            raise ValueError(
                f"--context {longest:,} is beyond the {spec.max_length:,} positions of {config.model}; lower it"
            )
    source_config(find(config.model, config.revision, weights=True).path)
    device = config.device if world.size == 1 else world.device
    return load_model(config.model, revision=config.revision, dtype="float32", device=device)
