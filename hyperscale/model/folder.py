"""A checkpoint folder in ordinary Hugging Face layout: config.json, safetensors, tokenizer files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hyperscale.model.spec import (
    FAMILIES,
    GATES,
    KEY,
    GateSpec,
    ModelSpec,
    gates_from_config,
    gates_from_fields,
    spec_from_config,
    supported,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from transformers import PretrainedConfig, PreTrainedTokenizerBase


GATE_TENSORS = "gates.safetensors"
_SHARD = re.compile(r"[\w.-]+\.safetensors")


class Folder:
    """Reader of one folder. Raises ValueError if anything is missing, damaged or unsupported."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._config = self._read_config()

    def spec(self) -> ModelSpec:
        """Return the model's spec; generation_config.json may add end-of-sequence ids to the config's."""
        generation = self.path / "generation_config.json"
        eos = _read_json(generation).get("eos_token_id") if generation.is_file() else None
        return replace(spec_from_config(self._config, eos), gates=self._gates())

    @property
    def dtype(self) -> torch.dtype | None:
        """The config's dtype."""
        dtype: torch.dtype | None = self._config.dtype
        return dtype

    def tokenizer(self) -> PreTrainedTokenizerBase:
        """Load the tokenizer with its chat template."""
        from transformers import AutoTokenizer

        try:
            return AutoTokenizer.from_pretrained(self.path, trust_remote_code=False)
        except Exception as error:  # tokenizers raises bare Exception for a damaged file
            reason = " ".join(str(error).split())
            if "trust_remote_code" in reason:
                reason = "it needs remote code, which is never run"
            raise ValueError(f"{self.path}: its tokenizer cannot be loaded: {reason}") from None

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Yield (name, tensor), shard by shard."""
        from safetensors import SafetensorError, safe_open

        gates = self.path / GATE_TENSORS
        for path in _shards(self.path) + ([gates] if gates.exists() else []):
            try:
                with safe_open(path, framework="pt") as shard:
                    for name in shard.keys():  # noqa: SIM118  (not a mapping)
                        yield name, shard.get_tensor(name)
            except (SafetensorError, OSError) as error:
                raise ValueError(f"{path}: not a readable safetensors file (truncated download?): {error}") from None

    def _gates(self) -> GateSpec | None:
        """Return the gates that config.json or gates.json declares; None without either."""
        beside, config = self.path / GATES, _read_json(self.path / "config.json")
        own = _read_json(beside) if beside.exists() else None
        try:
            gates = gates_from_config(config) if own is None else gates_from_fields(own)
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}") from None
        if gates is None and (self.path / GATE_TENSORS).exists():
            raise ValueError(
                f"{self.path}: {GATE_TENSORS} needs a {GATES}, or {KEY} in config.json, that states its form."
            )
        return gates

    def _read_config(self) -> PretrainedConfig:
        from transformers import AutoConfig

        family = _read_json(self.path / "config.json").get("model_type")
        if family not in FAMILIES:
            raise ValueError(f"{self.path}: unsupported architecture {family!r}. {supported()}")
        try:
            return AutoConfig.from_pretrained(self.path, trust_remote_code=False)
        except Exception as error:  # transformers raises types of its own for a bad field
            raise ValueError(
                f"{self.path / 'config.json'}: not a valid {family} config: {' '.join(str(error).split())}"
            ) from None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not readable as JSON: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a JSON object.")
    return content


def _shards(folder: Path) -> list[Path]:
    index, single = folder / "model.safetensors.index.json", folder / "model.safetensors"
    if index.is_file():
        weight_map = _read_json(index).get("weight_map")
        if not isinstance(weight_map, dict):
            raise ValueError(f"{index}: not a safetensors index: it has no weight_map.")
        names = list(weight_map.values())
        if not all(isinstance(name, str) and _SHARD.fullmatch(name) for name in names):
            raise ValueError(
                f"{index}: not a safetensors index: it names an entry that is no .safetensors file beside it."
            )
        paths = [folder / name for name in sorted(set(names))]
        for path in paths:
            if not path.is_file():
                raise ValueError(f"{folder}: shard {path.name} is missing; {index.name} names it.")
        return paths
    if single.is_file():
        return [single]
    if any(folder.glob("*.bin")):
        raise ValueError(
            f"{folder}: only pickle (.bin) weights. They may run code when loaded and are refused; "
            "convert them to safetensors (save_pretrained does)."
        )
    raise ValueError(f"{folder}: no weights: neither {single.name} nor {index.name}.")
