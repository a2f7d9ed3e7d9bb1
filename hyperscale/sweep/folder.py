"""Open a results folder for a plan: refuse another experiment, set damaged parts aside, begin the session's record."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

from hyperscale.grading.code import CodeGrader
from hyperscale.plan.preflight import LoadedTask
from hyperscale.plan.resolve import Plan
from hyperscale.process import provenance
from hyperscale.process.provenance import SessionRecord
from hyperscale.results.store import Store
from hyperscale.sweep import manifest
from hyperscale.sweep.manifest import Manifest
from hyperscale.sweep.tables import Tables


@dataclass(frozen=True)
class OpenFolder:
    """A folder that holds this plan's experiment, or nothing yet; the session updates `manifest` and `record`."""

    store: Store
    manifest: Manifest
    record: SessionRecord
    """The session's entry in the manifest."""
    tables: Tables
    _began: float = field(default_factory=time.monotonic)

    def save(self) -> None:
        """Write the manifest with the session's times."""
        self.record["finished"] = provenance.now()
        self.record["wall_seconds"] = round(time.monotonic() - self._began, 3)
        self.write_manifest()

    def write_manifest(self) -> None:
        """Write the manifest, atomically."""
        self.store.write_manifest(dict(self.manifest))


def open_folder(
    plan: Plan, tasks: Sequence[LoadedTask], store: Store, programs: CodeGrader | None, command: Sequence[str],
    say: Callable[[str], None],
) -> OpenFolder:  # fmt: skip
    """Open the store's folder for a plan. ValueError, with a diff, where it holds another experiment.

    The manifest is not written yet: a sweep refused by the loaded model leaves the folder unchanged.
    """
    record = provenance.new_session(command)
    if programs is not None:
        record["sandbox"] = programs.describe()
    described = {
        loaded.task.name: manifest.describe_task(
            loaded.task, loaded.problems, plan.runs_from(loaded.task.min_length), plan.config.code_grader
        )
        for loaded in tasks
    }
    # A folder without a sample, as a failed start leaves it, holds no experiment; a damaged part may have held any.
    sampled = set(store.read("samples", ["task", "backend"]).itertuples(index=False, name=None))
    old = cast("Manifest | None", store.read_manifest() if sampled or store.damaged else None)
    if store.damaged and old is not None:
        sampled |= manifest.named(old)
    if (sampled or store.damaged) and old is None:
        raise ValueError(
            f"{plan.config.output_dir} holds samples but no manifest.json, which says how they were drawn: "
            "restore it, or choose another --output-dir"
        )
    opened = manifest.opened(old, plan, described, record, sampled)
    for line in store.set_damaged_aside():
        say(line)
    keys = [(task, run.backend, ratio) for task in described for run in plan.runs for ratio in run.ratios]
    return OpenFolder(store, opened, record, Tables.of_folder(store, keys))
