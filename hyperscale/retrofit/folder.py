"""A run's folder: one run, one session at a time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hyperscale.process.provenance import new_session, now
from hyperscale.results.manifest import check_identity
from hyperscale.retrofit.config import RetrofitConfig
from hyperscale.retrofit.export import BASE
from hyperscale.retrofit.log import LOG
from hyperscale.retrofit.parallel import STATE
from hyperscale.retrofit.samples import SAMPLES
from hyperscale.storage.files import replacing
from hyperscale.storage.lock import FolderLock

RUN = "run.json"
_LOCK = ".lock"


class RunFolder:
    """Exclusive use of the run's folder, created if missing and removed if it stays empty."""

    def __init__(self, folder: Path) -> None:
        self._made = [path for path in (folder, *folder.parents) if not path.exists()]
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise ValueError(f"--output-dir {folder}: is a file; choose another") from None
        others = [path for path in folder.iterdir() if not path.name.startswith(".")]
        if others and not (folder / RUN).exists():
            raise ValueError(f"--output-dir {folder}: holds something else ({others[0].name}); choose another")
        self._folder = folder

    def __enter__(self) -> None:
        self._lock = FolderLock(self._folder)
        for left in self._folder.glob(".*.tmp"):  # of a session that was killed
            shutil.rmtree(left) if left.is_dir() else left.unlink()

    def __exit__(self, *_: object) -> None:
        if self._made and [path.name for path in self._folder.iterdir()] == [_LOCK]:
            (self._folder / _LOCK).unlink()
            with suppress(OSError):  # another process has put a file there
                for path in self._made:
                    path.rmdir()
        self._lock.release()


def record(folder: Path, config: RetrofitConfig, identity: dict[str, Any], command: Sequence[str]) -> None:
    """Add this session to run.json; ValueError with a diff if the folder holds another run.

    A run without any results, killed before it saved one, is replaced.
    """
    path = folder / RUN
    run: dict[str, Any] = {"identity": identity, "created": now(), "sessions": []}
    if path.exists():
        held = json.loads(path.read_text(encoding="utf-8"))
        try:
            check_identity(held["identity"], identity)
            run = held
        except ValueError:
            if _has_results(folder):
                raise
            # They may belong to another model. Remove them before run.json changes: a kill must not mix two runs.
            shutil.rmtree(folder / BASE, ignore_errors=True)
            (folder / LOG).unlink(missing_ok=True)
    run["config"] = config.model_dump(mode="json")
    run["sessions"].append(new_session(command))
    with replacing(path) as aside:
        aside.write_text(json.dumps(run, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _has_results(folder: Path) -> bool:
    """Return whether there is a state, a checkpoint or a sample."""
    kept = [folder / STATE, *folder.glob("cr-*"), *folder.glob(f"{SAMPLES}/[!.]*")]
    return any(path.exists() for path in kept)
