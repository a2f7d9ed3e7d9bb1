"""Checkpoints written as folders in Hugging Face layout, for retrofits and vLLM."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save_file
from torch import Tensor

from hyperscale.model.folder import Folder
from hyperscale.model.gguf_file import GgufFile
from hyperscale.model.source import CheckpointFiles
from hyperscale.model.spec import ModelSpec
from hyperscale.model.weights import spans

if TYPE_CHECKING:
    from transformers import PretrainedConfig

    from hyperscale.model.load import Model

WEIGHTS = "model.safetensors"
_ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}
_SAMPLES, _SAMPLE_BYTES = 64, 2**12


def source_config(source: Path) -> PretrainedConfig:
    """Return a checkpoint's transformers config; ValueError if a config cannot hold a GGUF file's rotary scaling."""
    from transformers import AutoConfig

    if source.suffix.lower() != ".gguf":
        return AutoConfig.from_pretrained(source, trust_remote_code=False)
    file = GgufFile(source)
    if file.spec().rope_type != file.config.rope_parameters["rope_type"]:
        raise ValueError(
            f"{source}: its rotary scaling is a tensor, which a config cannot hold; use the original checkpoint folder"
        )
    return file.config


def write_original(
    folder: Path, source: Path, model: Model, *, with_weights: bool, dtype: torch.dtype | None = None
) -> None:
    """Fill an empty folder from a source checkpoint (folder or GGUF file) and the model loaded from it.

    Weights are stored as `dtype`, or in the source's dtype if None.
    """
    config = source_config(source)
    config.architectures = config.architectures or [_ARCHITECTURES[model.spec.family]]
    config.dtype = dtype or config.dtype or _dtype_of(source)
    config.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    generation = {"eos_token_id": list(model.spec.eos_ids)}
    (folder / "generation_config.json").write_text(json.dumps(generation) + "\n", encoding="utf-8")
    if with_weights:
        save_weights(named_weights(model.spec, model.decoder.state_dict(), gates=False), folder / WEIGHTS, config.dtype)


def _dtype_of(source: Path) -> torch.dtype:
    """Return the dtype of a checkpoint's first tensor; float32 for a GGUF file, which it holds exactly."""
    if source.suffix.lower() == ".gguf":
        return torch.float32
    _, tensor = next(Folder(source).tensors())
    return tensor.dtype


def named_weights(spec: ModelSpec, weights: Mapping[str, Tensor], *, gates: bool) -> dict[str, Tensor]:
    """Return the decoder's weights under a checkpoint's names: those of its gates, or all others."""
    return {
        name: weights[span.parameter][span.start : span.stop]
        for name, span in spans(spec).items()
        if (".gate." in span.parameter) == gates
    }


def save_weights(tensors: Mapping[str, Tensor], path: Path, dtype: torch.dtype) -> None:
    """Store tensors as `dtype`."""
    whole = {name: tensor.detach().to("cpu", dtype).contiguous().clone() for name, tensor in tensors.items()}
    save_file(whole, path, metadata={"format": "pt"})


def publish(aside: Path, target: Path) -> None:
    """Flush a complete folder to disk, then rename it."""
    for path in [*aside.iterdir(), aside]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    os.rename(aside, target)


def as_folder(source: CheckpointFiles, dtype: str = "auto") -> Path:
    """Return a checkpoint's folder; a GGUF file is dequantized once into the user's cache folder.

    Its weights are stored as float32, which holds them exactly, unless `dtype` names another type. Raise ValueError
    as `load_model` does.
    """
    from hyperscale.model.load import load_model

    if not source.is_gguf:
        return source.path
    stored = "float32" if dtype == "auto" else dtype
    target = cache_folder() / "checkpoints" / f"{source.path.stem}-{weights_digest(source)}-{stored}"
    if target.is_dir():
        return target
    model = load_model(str(source.path), dtype=stored, device="cpu")
    target.parent.mkdir(parents=True, exist_ok=True)
    # A unique name: two sweeps may write at the same time, and the first to finish serves both.
    aside = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        write_original(aside, source.path, model, with_weights=True, dtype=getattr(torch, stored))
        if not target.is_dir():
            publish(aside, target)
    except OSError as error:
        if not target.is_dir():
            raise ValueError(
                f"{target}: cannot be written, and vLLM cannot read the GGUF file itself: {error}"
            ) from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return target


def cache_folder() -> Path:
    """Return the user's folder of reproducible files: $XDG_CACHE_HOME/hyperscale."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hyperscale"


def weights_digest(source: CheckpointFiles) -> str:
    """Hash a checkpoint's weight files to 16 hex digits: all bytes of a GGUF file, else names, sizes and samples."""
    if source.is_gguf:
        with source.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    digest = hashlib.sha256()
    for path in sorted(source.path.glob("*.safetensors")):
        size = path.stat().st_size
        digest.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as file:
            for sample in range(_SAMPLES):
                file.seek(sample * max(0, size - _SAMPLE_BYTES) // (_SAMPLES - 1))
                digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()[:16]


def own_dtype(source: CheckpointFiles) -> str | None:
    """Return the dtype name that a checkpoint's config declares; None if it declares none."""
    dtype = None if source.is_gguf else Folder(source.path).dtype
    return None if dtype is None else str(dtype).removeprefix("torch.")
