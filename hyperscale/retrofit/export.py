"""A checkpoint of the family: a folder that --model takes."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save_file
from torch import Tensor

from hyperscale.model.family import write_family
from hyperscale.model.folder import GATE_TENSORS, Folder
from hyperscale.model.gate_spec import GATES, GateSpec
from hyperscale.model.gguf_file import GgufFile
from hyperscale.model.load import Model
from hyperscale.model.spec import ModelSpec
from hyperscale.model.weights import slots
from hyperscale.retrofit.config import RetrofitConfig
from hyperscale.retrofit.notices import Reached

if TYPE_CHECKING:
    from transformers import PretrainedConfig

BASE = "base"
"""Folder of what all checkpoints share: config, tokenizer and, where only gates learn, the original's weights."""
REACHED = "retrofit.json"
"""File of a checkpoint that says what its training reached. Nothing reads it: it is for people."""
_WEIGHTS = "model.safetensors"


def checkpoint_name(ratio: float) -> str:
    """Name of a checkpoint's folder: cr-4."""
    return f"cr-{ratio:g}"


def write_base(folder: Path, source: Path, model: Model, *, with_weights: bool) -> None:
    """Fill `folder`/base from a source checkpoint (folder or GGUF file) and what was loaded of it."""
    base = folder / BASE
    if base.exists():
        return
    aside = _emptied(folder / f".{BASE}.tmp")
    config = source_config(source)
    config.architectures = config.architectures or [_ARCHITECTURES[model.spec.family]]
    config.dtype = config.dtype or _dtype_of(source)
    config.save_pretrained(aside)
    model.tokenizer.save_pretrained(aside)
    generation = {"eos_token_id": list(model.spec.eos_ids)}
    (aside / "generation_config.json").write_text(json.dumps(generation) + "\n", encoding="utf-8")
    if with_weights:
        _save(_named(model.spec, model.decoder.state_dict(), gates=False), aside / _WEIGHTS, config.dtype)
    _publish(aside, base)


def source_config(source: Path) -> PretrainedConfig:
    """transformers' config of a checkpoint; ValueError for a GGUF file that says more than a config can."""
    from transformers import AutoConfig

    if source.suffix.lower() != ".gguf":
        return AutoConfig.from_pretrained(source, trust_remote_code=False)
    file = GgufFile(source)
    if file.spec().rope_type != file.config.rope_parameters["rope_type"]:
        raise ValueError(
            f"{source}: its rotary scaling is a tensor, which a config cannot hold: use the folder it is of"
        )
    return file.config


def _dtype_of(source: Path) -> torch.dtype:
    """Of a checkpoint's first tensor. A GGUF file has none of its own: float32 holds it exactly."""
    if source.suffix.lower() == ".gguf":
        return torch.float32
    _, tensor = next(Folder(source).tensors())
    return tensor.dtype


def export(
    folder: Path, ratio: float, spec: ModelSpec, gates: GateSpec, weights: Mapping[str, Tensor], found: Reached | None
) -> Path:
    """Write `folder`/cr-RATIO: the base, the gates' declaration and, of `weights`, what the base does not hold.

    Weights are rounded to the original's type; gates stay float32.
    """
    target, aside = folder / checkpoint_name(ratio), _emptied(folder / f".{checkpoint_name(ratio)}.tmp")
    for path in (folder / BASE).iterdir():
        copy = _link if path.name == _WEIGHTS else shutil.copyfile
        copy(path, aside / path.name)
    (aside / GATES).write_text(json.dumps(asdict(gates), indent=2) + "\n", encoding="utf-8")
    if found is not None:
        said = {**found._asdict(), "reached_ratio": found.ratio, "missed": found.missed}
        (aside / REACHED).write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
    if gates.learned:
        _save(_named(spec, weights, gates=True), aside / GATE_TENSORS, torch.float32)
    if not (aside / _WEIGHTS).exists():
        named = json.loads((aside / "config.json").read_text(encoding="utf-8"))["dtype"]
        _save(_named(spec, weights, gates=False), aside / _WEIGHTS, getattr(torch, named))
    _publish(aside, target)
    return target


def declare_family(config: RetrofitConfig, revision: str | None) -> None:
    """Make the run's folder, with what checkpoints it has, a family: one --model for all of them and the original."""
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


_ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}


def _named(spec: ModelSpec, weights: Mapping[str, Tensor], *, gates: bool) -> dict[str, Tensor]:
    """The decoder's weights under a checkpoint's names: those of its gates, or all others."""
    return {
        name: weights[slot.parameter][slot.start : slot.stop]
        for name, slot in slots(spec).items()
        if (".gate." in slot.parameter) == gates
    }


def _save(tensors: Mapping[str, Tensor], path: Path, dtype: torch.dtype) -> None:
    whole = {name: tensor.detach().to("cpu", dtype).contiguous().clone() for name, tensor in tensors.items()}
    save_file(whole, path, metadata={"format": "pt"})


def _link(source: Path, target: Path) -> None:
    """The same file under a second name, so that a family holds the original's weights once; a copy elsewhere."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def _publish(aside: Path, target: Path) -> None:
    """Rename a folder that is whole and on disk."""
    for path in [*aside.iterdir(), aside]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    os.rename(aside, target)
