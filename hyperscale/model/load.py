"""Checkpoint -> Model: a decoder with its weights, its tokenizer and its spec."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import metadata
from typing import TYPE_CHECKING

import torch

from hyperscale.model.chat import template_sha
from hyperscale.model.decoder import Decoder
from hyperscale.model.folder import Folder
from hyperscale.model.gguf_file import GgufFile
from hyperscale.model.source import CheckpointFiles, find
from hyperscale.model.spec import ModelSpec, id_set
from hyperscale.model.weights import fill

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Model:
    """A loaded checkpoint; `revision` is the hub's commit, None for local files."""

    decoder: Decoder
    tokenizer: PreTrainedTokenizerBase
    spec: ModelSpec
    revision: str | None
    eos_ids: frozenset[int]
    """End-of-sequence ids of generation config, config and tokenizer."""
    chat_template_sha: str | None


def load_spec(model: str, revision: str | None = None) -> ModelSpec:
    """Read a model's spec from its config alone, without weights. Raise ValueError as `load_model` does."""
    _require_transformers()
    return _open(find(model, revision, weights=False)).spec()


@dataclass(frozen=True)
class Text:
    """The parts of a checkpoint without weights, for engines that load these themselves."""

    tokenizer: PreTrainedTokenizerBase
    spec: ModelSpec
    source: CheckpointFiles
    """Its files; of a hub model only config and tokenizer are sure to be downloaded."""
    eos_ids: frozenset[int]
    chat_template_sha: str | None

    @property
    def revision(self) -> str | None:
        """The hub's commit; None for local files."""
        return self.source.revision


def load_text(model: str, revision: str | None = None) -> Text:
    """Load a model's tokenizer and spec without weights. Raise ValueError as `load_model` does."""
    _require_transformers()
    source = find(model, revision, weights=False, tokenizer=True)
    checkpoint = _open(source)
    spec, tokenizer = checkpoint.spec(), checkpoint.tokenizer()
    spec = replace(spec, eos_ids=id_set(list(spec.eos_ids), tokenizer.eos_token_id))
    return Text(tokenizer, spec, source, frozenset(spec.eos_ids), template_sha(tokenizer))


def load_model(model: str, *, revision: str | None = None, dtype: str = "auto", device: str = "auto") -> Model:
    """Load a hub id, a checkpoint folder (safetensors) or a .gguf file.

    dtype "auto" is the checkpoint's own; a GGUF file, which has none, becomes bfloat16 on a GPU and
    float32 on a CPU. device "auto" is the GPU if there is one. Raise ValueError if the model cannot be loaded.
    """
    _require_transformers()
    target = _device(device)
    source = find(model, revision, weights=True)
    checkpoint = _open(source)
    spec, tokenizer = checkpoint.spec(), checkpoint.tokenizer()
    spec = replace(spec, eos_ids=id_set(list(spec.eos_ids), tokenizer.eos_token_id))
    with torch.device("meta"):
        decoder = Decoder(spec)
    decoder = decoder.to(_dtype(dtype, checkpoint.dtype, target)).to_empty(device=target)
    fill(decoder, checkpoint.tensors(), str(source.path))
    return Model(
        decoder=decoder.requires_grad_(False).eval(),
        tokenizer=tokenizer,
        spec=spec,
        revision=source.revision,
        eos_ids=frozenset(spec.eos_ids),
        chat_template_sha=template_sha(tokenizer),
    )


def _open(source: CheckpointFiles) -> Folder | GgufFile:
    return GgufFile(source.path) if source.is_gguf else Folder(source.path)


def _device(device: str) -> torch.device:
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, index = device.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdecimal()):
        raise ValueError(f"--device {device}: expected auto, cpu, cuda or cuda:N.")
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise ValueError(f"--device {device}: this machine shows {torch.cuda.device_count()} CUDA devices.")
    return torch.device(device)


def _dtype(dtype: str, own: torch.dtype | None, device: torch.device) -> torch.dtype:
    if dtype == "auto":
        return own or (torch.bfloat16 if device.type == "cuda" else torch.float32)
    if dtype not in _DTYPES:
        raise ValueError(f"--dtype {dtype}: expected auto, {', '.join(_DTYPES)}.")
    return _DTYPES[dtype]


def _require_transformers() -> None:
    version = metadata.version("transformers")
    if not version.startswith("5."):
        raise ValueError(
            f"transformers {version} is installed, but checkpoints are read through its 5.x API: "
            "pip install 'transformers>=5,<6'"
        )
