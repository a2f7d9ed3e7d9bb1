from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub import errors
from safetensors.torch import load_file, save_file

from hyperscale.model.load import load_model, load_spec
from tests.tiny_models import write_tiny_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "model")


def edit(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def refused(model: str | Path, match: str, **options: Any) -> None:
    with pytest.raises(ValueError, match=match) as caught:
        load_model(str(model), device=options.pop("device", "cpu"), **options)
    assert "Traceback" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"model_type": "gpt2"}, r"unsupported architecture 'gpt2'. Supported: llama, mistral, qwen2, qwen3"),
        ({"model_type": None}, "unsupported architecture None"),
        ({"model_type": "deepseek_v3", "auto_map": {"AutoConfig": "evil.Config"}}, "unsupported architecture"),
        ({"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}}, "scaling 'dynamic'"),
        (
            {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}},
            "partial_rotary_factor",
        ),
        ({"hidden_act": "gelu"}, "activation 'gelu'"),
        ({"num_key_value_heads": 3}, "4 attention heads must be a multiple of 3 KV heads"),
        ({"quantization_config": {"quant_method": "awq", "bits": 4}}, "weights are quantized"),
        ({"num_hidden_layers": "two"}, "not a valid llama config"),
        ({"intermediate_size": 64}, r"mlp.\w+.weight has shape .* its config asks for"),
        ({"num_hidden_layers": 3}, "9 tensors are missing, such as model.layers.2"),
        ({"num_hidden_layers": 1}, "tensor model.layers.1.* does not belong to the model that its config describes"),
        ({"tie_word_embeddings": True}, "ties lm_head to the embedding"),
        ({"attention_bias": True}, "tensors are missing"),
    ],
)
def test_config_that_is_not_computed(folder: Path, fields: dict[str, Any], match: str) -> None:
    edit(folder / "config.json", **fields)
    refused(folder, match)


def test_folder_without_config(tmp_path: Path) -> None:
    refused(tmp_path, "no config.json")
    (tmp_path / "adapter_config.json").write_text("{}")
    refused(tmp_path, "merge it into its base model")
    (tmp_path / "weights.gguf").write_bytes(b"")
    refused(tmp_path, "name the file itself")


def test_missing_paths_and_foreign_files(tmp_path: Path, folder: Path) -> None:
    refused(tmp_path / "absent", "no such folder, and not a hub id")
    refused(tmp_path / "absent.gguf", "no such file")
    refused(folder / "config.json", "takes a hub id, a checkpoint folder or a .gguf file")
    refused(folder, "applies to hub ids", revision="main")


def test_config_that_is_no_json(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "lla')
    refused(folder, "config.json: not readable as JSON")
    (folder / "config.json").write_text("[]")
    refused(folder, "expected a JSON object")


def test_damaged_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text('{"version"')
    refused(folder, "its tokenizer cannot be loaded")


@pytest.mark.parametrize("left", [0, 5, 200, -1])
def test_truncated_safetensors(folder: Path, left: int) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:left])
    refused(folder, "model.safetensors: not a readable safetensors file")


def test_missing_shard_and_damaged_index(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path, max_shard_size="10KB")
    shard = sorted(folder.glob("*.safetensors"))[1]
    shard.unlink()
    refused(folder, f"shard {shard.name} is missing")
    (folder / "model.safetensors.index.json").write_text("{}")
    refused(folder, "no weight_map")


def test_pickled_weights_are_not_read(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    refused(folder, "no weights: neither")
    torch.save({}, folder / "pytorch_model.bin")
    refused(folder, "only pickle")


def test_missing_tensor(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.norm.weight"]
    save_file(tensors, folder / "model.safetensors")
    refused(folder, "1 tensors are missing, such as model.norm.weight")


def test_stored_copy_of_a_tied_head_is_accepted(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path, tie_word_embeddings=True)
    tensors = load_file(folder / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(4)
    save_file(tensors, folder / "model.safetensors")
    assert load_model(str(folder), device="cpu").decoder.unembed is None


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"dtype": "int8"}, "--dtype int8: expected auto, float32, bfloat16, float16"),
        ({"device": "tpu"}, "--device tpu: expected auto, cpu, cuda"),
        ({"device": "cuda:99"}, "shows [0-9]+ CUDA devices"),
        ({"device": "cuda:x"}, "expected auto"),
    ],
)
def test_dtype_and_device(folder: Path, options: dict[str, str], match: str) -> None:
    refused(folder, match, **options)


RESPONSE: Any = SimpleNamespace(headers={}, request=None)


@pytest.mark.parametrize(
    ("error", "match"),
    [
        (lambda: errors.GatedRepoError("gated", response=RESPONSE), "gated on the hub"),
        (lambda: errors.RepositoryNotFoundError("none", response=RESPONSE), "neither a local folder nor"),
        (lambda: errors.RevisionNotFoundError("none", response=RESPONSE), "no such revision"),
        (lambda: errors.HfHubHTTPError("server error", response=RESPONSE), "cannot be fetched from the hub"),
        (lambda: errors.LocalEntryNotFoundError("not in the cache"), "cannot be fetched from the hub"),
        (lambda: errors.OfflineModeIsEnabled("offline"), "cannot be fetched from the hub"),
        (lambda: ZeroDivisionError("of its HTTP client"), "cannot be fetched .*: of its HTTP client"),
        (lambda: OSError(28, "No space left on device"), "No space left"),
    ],
)
def test_hub_errors(monkeypatch: pytest.MonkeyPatch, error: Callable[[], Exception], match: str) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise error()

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    refused("owner/name", rf"owner/name \(revision v1\): .*{match}", revision="v1")


def test_names_that_are_no_hub_ids() -> None:
    refused("a/b/c", "not a hub id")
    refused("owner/--name", "not a hub id")


def test_hub_download_is_pinned_and_partial(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    snapshot = write_tiny_model(tmp_path / commit)
    asked: list[tuple[str, str | None, list[str]]] = []

    def download(repo: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((repo, revision, allow_patterns))
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert load_model("owner/name", revision="main", device="cpu").revision == commit
    load_spec("owner/name")
    assert [call[:2] for call in asked] == [("owner/name", "main"), ("owner/name", None)]
    assert "model*.safetensors" in asked[0][2]
    assert not any(".bin" in pattern or ".py" in pattern for pattern in asked[0][2])
    assert asked[1][2] == ["config.json", "generation_config.json", "gates.json"]


def test_repository_without_config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *args, **kwargs: str(tmp_path))
    refused("owner/name", "the repository has no config.json")


def test_foreign_transformers_version(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: "4.57.1")
    refused(folder, r"transformers 4.57.1 is installed.*transformers>=5,<6")
