"""Checkpoints of a family, as folders that --model takes."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from hyperscale.model.checkpoint import WEIGHTS, named_weights, publish, save_weights, write_original
from hyperscale.model.folder import GATE_TENSORS
from hyperscale.model.load import Model
from hyperscale.model.source import write_family
from hyperscale.model.spec import GATES, GateSpec, ModelSpec
from hyperscale.retrofit.config import RetrofitConfig
from hyperscale.retrofit.log import Reached

BASE = "base"
"""Folder shared by all checkpoints: config, tokenizer and, if only gates train, the original's weights."""
REACHED = "retrofit.json"
"""File of a checkpoint that records the CR its training reached, for people; no code reads it."""


def checkpoint_name(ratio: float) -> str:
    """Return the name of a checkpoint's folder, as in cr-4."""
    return f"cr-{ratio:g}"


def write_base(folder: Path, source: Path, model: Model, *, with_weights: bool) -> None:
    """Fill `folder`/base from a source checkpoint (folder or GGUF file) and the model loaded from it."""
    base = folder / BASE
    if base.exists():
        return
    aside = _emptied(folder / f".{BASE}.tmp")
    write_original(aside, source, model, with_weights=with_weights)
    publish(aside, base)


def export(
    folder: Path, ratio: float, spec: ModelSpec, gates: GateSpec, weights: Mapping[str, Tensor], found: Reached | None
) -> Path:
    """Write `folder`/cr-RATIO: the base, the gates' declaration and those of `weights` that the base lacks.

    Weights are rounded to the original's dtype; gates stay float32.
    """
    target, aside = folder / checkpoint_name(ratio), _emptied(folder / f".{checkpoint_name(ratio)}.tmp")
    for path in (folder / BASE).iterdir():
        copy = _link if path.name == WEIGHTS else shutil.copyfile
        copy(path, aside / path.name)
    (aside / GATES).write_text(json.dumps(asdict(gates), indent=2) + "\n", encoding="utf-8")
    if found is not None:
        said = {**found._asdict(), "reached_ratio": found.ratio, "missed": found.missed}
        (aside / REACHED).write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
    if gates.learned:
        save_weights(named_weights(spec, weights, gates=True), aside / GATE_TENSORS, torch.float32)
    if not (aside / WEIGHTS).exists():
        named = json.loads((aside / "config.json").read_text(encoding="utf-8"))["dtype"]
        save_weights(named_weights(spec, weights, gates=False), aside / WEIGHTS, getattr(torch, named))
    publish(aside, target)
    return target


def declare_family(config: RetrofitConfig, revision: str | None) -> None:
    """Make the run's folder a family of its checkpoints and the original, so that one --model covers all."""
    folder = config.output_dir
    names: dict[tuple[str, float], str] = {(config.method, ratio): checkpoint_name(ratio) for ratio in config.family}
    members = {key: name for key, name in names.items() if (folder / name).exists()}
    if not members:
        return
    local = Path(config.model).expanduser()
    original = str(local.resolve()) if local.exists() else config.model
    if config.train == "gates":
        write_family(folder, BASE, None, members)
    else:
        write_family(folder, original, revision, members)


def _link(source: Path, target: Path) -> None:
    """Hard-link a file, so that a family stores the original's weights once; copy it where links fail."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder
