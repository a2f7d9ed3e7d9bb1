"""A GGUF file as the folder that vLLM reads: the same numbers, written once, whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from hyperscale.model import checkpoint
from hyperscale.model.checkpoint import as_folder, own_dtype, weights_digest
from hyperscale.model.load import load_text
from hyperscale.model.source import CheckpointFiles, find
from tests.model.test_gguf import write_gguf
from tests.tiny_models import write_tiny_model


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "hyperscale" / "checkpoints"


@pytest.fixture
def original(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "original", "qwen2", tie_word_embeddings=True)


@pytest.fixture
def source(tmp_path: Path, original: Path) -> CheckpointFiles:
    return CheckpointFiles(write_gguf(original, tmp_path / "small.gguf"), None)


def test_a_gguf_file_becomes_a_checkpoint_of_the_same_numbers(
    cache: Path, original: Path, source: CheckpointFiles
) -> None:
    folder = as_folder(source)
    assert folder.parent == cache
    assert [path.name for path in cache.iterdir()] == [folder.name], "nothing half done is left beside it"
    assert json.loads((folder / "config.json").read_text())["architectures"] == ["Qwen2ForCausalLM"]
    model, reference = (AutoModelForCausalLM.from_pretrained(path) for path in (folder, original))
    assert model.dtype == torch.float32
    assert model.state_dict().keys() == reference.state_dict().keys()
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, reference.state_dict()[name]), name
    text, of_file = load_text(str(folder)), load_text(str(source.path))
    assert text.eos_ids == of_file.eos_ids
    assert text.chat_template_sha == of_file.chat_template_sha
    assert text.spec == of_file.spec
    sample = "<|im_start|>user\nthe a the 12\n\n<|im_end|>"
    assert text.tokenizer(sample)["input_ids"] == of_file.tokenizer(sample)["input_ids"]

    written = (folder / "model.safetensors").stat()
    assert as_folder(source) == folder
    assert (folder / "model.safetensors").stat() == written, "it is written once"
    assert as_folder(source, "float32") == folder


def test_with_a_dtype_its_weights_are_rounded_to_it(cache: Path, original: Path, source: CheckpointFiles) -> None:
    folder = as_folder(source, "bfloat16")
    stored, exact = (load_file(path / "model.safetensors") for path in (folder, original))
    assert stored.keys() == exact.keys()
    assert all(torch.equal(weight, exact[name].bfloat16()) for name, weight in stored.items())
    assert own_dtype(CheckpointFiles(folder, None)) == "bfloat16"
    assert own_dtype(source) is None


def test_where_writing_fails_nothing_is_left(
    cache: Path, source: CheckpointFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(
        ValueError, match=r"cannot be written, and vLLM cannot read the GGUF file itself: .*No space left"
    ):
        as_folder(source)
    assert list(cache.iterdir()) == []


def test_one_who_comes_second_takes_what_is_there(
    cache: Path, source: CheckpointFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process has published the folder between our look and our rename."""
    publish, other = checkpoint.publish, []

    def overtaken(aside: Path, target: Path) -> None:
        shutil.copytree(aside, target)
        other.append((target / "model.safetensors").stat())
        publish(aside, target)

    monkeypatch.setattr(checkpoint, "publish", overtaken)
    folder = as_folder(source)
    assert (folder / "model.safetensors").stat() == other[0]
    assert [path.name for path in cache.iterdir()] == [folder.name]


def test_a_folder_is_used_as_it_is(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "model")
    assert as_folder(CheckpointFiles(folder, None), "bfloat16") == folder
    assert as_folder(find("tiny", None, weights=True)).name == "tiny"


def test_the_digest_tells_checkpoints_apart_and_is_the_same_wherever_they_lie(tmp_path: Path) -> None:
    one = CheckpointFiles(write_tiny_model(tmp_path / "one"), None)
    again = CheckpointFiles(Path(shutil.copytree(one.path, tmp_path / "again")), None)
    other = CheckpointFiles(write_tiny_model(tmp_path / "other", seed=1), None)
    shards = CheckpointFiles(write_tiny_model(tmp_path / "shards", max_shard_size="20KB"), None)
    digests = {source.path.name: weights_digest(source) for source in (one, again, other, shards)}
    assert digests["one"] == digests["again"]
    assert len(set(digests.values())) == 3
    (again.path / "model.safetensors").write_bytes((one.path / "model.safetensors").read_bytes()[:-1] + b"\x55")
    assert weights_digest(again) != digests["one"]
    last = sorted(shards.path.glob("*.safetensors"))[-1]
    os.rename(last, last.with_name("z.safetensors"))
    assert weights_digest(shards) != digests["shards"]


def test_a_gguf_files_digest_is_of_every_byte(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(bytes(3_000_000))
    before = weights_digest(CheckpointFiles(path, None))
    changed = bytearray(3_000_000)
    changed[1_234_567] = 1
    path.write_bytes(changed)
    assert weights_digest(CheckpointFiles(path, None)) != before
