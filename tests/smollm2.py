"""Where the SmolLM2-135M file lies, for the tests of a real model. `make` puts it there."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel
from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

import hyperscale.model
from hyperscale.storage.files import replacing

T = TypeVar("T")


def smollm2_path() -> Path | None:
    """Path of the GGUF file, or None where it is absent."""
    named = os.environ.get("HYPERSCALE_SMOLLM2")
    default = Path(__file__).resolve().parents[1] / ".models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
    path = Path(named) if named else default
    return path if path.is_file() else None


def kept(file: Path, name: str, read: Callable[[], T]) -> T:
    """What `read` makes of the GGUF file, kept beside it until the code that reads it changes: a vocabulary and
    quantised weights take it ten seconds.
    """
    path = file.with_name(f"tests-{name}-{_key(file)}.pt")
    if path.exists():
        made: T = torch.load(path, weights_only=False)
        return made
    made = read()
    for older in file.parent.glob(f"tests-{name}-*.pt"):
        older.unlink(missing_ok=True)
    with replacing(path) as aside:
        torch.save(made, aside)
    return made


def _key(file: Path) -> str:
    """A hash of the file's identity, of our sources that read it, and of the versions of theirs."""
    stat = file.stat()
    hashed = hashlib.sha256(
        repr((stat.st_size, stat.st_mtime_ns, torch.__version__, transformers.__version__)).encode()
    )
    for source in sorted(Path(next(iter(hyperscale.model.__path__))).glob("*.py")):
        hashed.update(source.read_bytes())
    return hashed.hexdigest()[:16]


def as_transformers(file: Path) -> PreTrainedModel:
    """The model as transformers reads the file, float32."""
    config = AutoConfig.from_pretrained(file.parent, gguf_file=file.name)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    content = load_gguf_checkpoint(file, return_tensors=True, model_to_load=model)
    report = model.load_state_dict(content["tensors"], strict=False)
    assert report.missing_keys == ["lm_head.weight"]
    assert not report.unexpected_keys
    model.tie_weights()
    return model.eval()
