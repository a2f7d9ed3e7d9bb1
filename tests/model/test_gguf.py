from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from gguf.gguf_reader import GGUFReader
from numpy.typing import NDArray
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

from hyperscale.model.load import load_model, load_spec, load_text
from tests.model.attend import causal_attend
from tests.tiny_models import LLAMA3_ROPE, YARN_ROPE, tiny_tokenizer, write_tiny_model


def permuted(weight: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Rows of a llama q or k projection as llama.cpp stores them: rotated pairs side by side."""
    rows = weight.reshape(heads, 2, -1, *weight.shape[1:])
    return np.ascontiguousarray(rows.swapaxes(1, 2).reshape(weight.shape))


def write_gguf(folder: Path, path: Path, **overrides: Any) -> Path:
    """The checkpoint of `folder` as llama.cpp's converter would write it, in float32."""
    config = AutoConfig.from_pretrained(folder)
    architecture = "llama" if config.model_type == "mistral" else config.model_type
    writer = gguf.GGUFWriter(path, overrides.pop("architecture", architecture))
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(getattr(config, "head_dim", config.hidden_size // config.num_attention_heads))
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    if config.rope_parameters["rope_type"] == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(config.rope_parameters["factor"])
        writer.add_rope_scaling_orig_ctx_len(config.rope_parameters["original_max_position_embeddings"])
    for key, value in overrides.pop("fields", {}).items():
        writer.add_uint32(f"{architecture}.{key}", value)
    tokenizer = tiny_tokenizer()
    tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(overrides.pop("pre", "default"))
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token.startswith("<|") else 1 for token in tokens])
    writer.add_token_merges(["t h", "th e", "Ġ the", "Ġ a"])
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_chat_template(tokenizer.chat_template)
    names = gguf.get_tensor_name_map(
        next(key for key, value in gguf.MODEL_ARCH_NAMES.items() if value == architecture), config.num_hidden_layers
    )
    for name, tensor in load_file(folder / "model.safetensors").items():
        array = tensor.numpy()
        if architecture == "llama" and "q_proj" in name:
            array = permuted(array, config.num_attention_heads)
        if architecture == "llama" and "k_proj" in name:
            array = permuted(array, config.num_key_value_heads)
        stem, suffix = name.rsplit(".", 1)
        writer.add_tensor(f"{names.get_name(stem)}.{suffix}", array)
    for name, array in overrides.pop("tensors", {}).items():
        writer.add_tensor(name, array)
    assert not overrides
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def llama3_divisors(head_dim: int) -> NDArray[np.float32]:
    """Section "rope scaling" of the Llama 3.1 release: long waves are stretched, those between blended."""
    rope = LLAMA3_ROPE
    old, factor = rope["original_max_position_embeddings"], rope["factor"]
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    divisors = []
    for exponent in range(0, head_dim, 2):
        wave = 2 * np.pi * rope["rope_theta"] ** (exponent / head_dim)
        if wave < old / high:
            divisors.append(1.0)
        elif wave > old / low:
            divisors.append(factor)
        else:
            smooth = (old / wave - low) / (high - low)
            divisors.append(1 / ((1 - smooth) / factor + smooth))
    return np.array(divisors, dtype=np.float32)


@pytest.mark.parametrize(
    ("family", "fields"),
    [
        ("llama", {}),
        ("llama", {"tie_word_embeddings": True, "attention_bias": True}),
        ("llama", {"rope_parameters": LLAMA3_ROPE}),
        ("mistral", {}),
        ("qwen2", {"rope_parameters": YARN_ROPE}),
        ("qwen3", {"head_dim": 16, "num_key_value_heads": 1}),
    ],
)
def test_logits_equal_the_checkpoint_it_came_from(tmp_path: Path, family: str, fields: dict[str, Any]) -> None:
    folder = write_tiny_model(tmp_path / "folder", family, **fields)
    scaled = fields.get("rope_parameters") is LLAMA3_ROPE
    tensors = {"rope_freqs.weight": llama3_divisors(8)} if scaled else {}
    model = load_model(str(write_gguf(folder, tmp_path / "model.gguf", tensors=tensors)), device="cpu")
    reference = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokens = torch.randint(model.spec.vocab, (150,), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = reference(tokens[None]).logits[0]
        actual = model.decoder.logits(model.decoder.hidden(tokens, torch.arange(150), causal_attend([150])))
    assert (actual - expected).abs().max() <= 1e-4
    assert model.spec.rope_type == ("llama3" if scaled else reference.config.rope_parameters["rope_type"])
    assert model.eos_ids == {tiny_tokenizer().eos_token_id}


def test_a_file_is_parsed_once_and_again_when_it_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_gguf(write_tiny_model(tmp_path / "folder"), tmp_path / "model.gguf")
    own, parsed = gguf.GGUFReader, []

    class Counted(GGUFReader):
        def __init__(self, opened: Path) -> None:
            parsed.append(opened)
            super().__init__(opened)

    monkeypatch.setattr("hyperscale.model.gguf_file._reader_class", lambda: Counted)
    load_spec(str(path), None)
    load_text(str(path))
    model = load_model(str(path), device="cpu")
    assert parsed == [path]
    assert gguf.GGUFReader is own
    write_gguf(tmp_path / "folder", path, tensors={"rope_freqs.weight": llama3_divisors(8)})
    assert load_spec(str(path), None).rope_frequencies != model.spec.rope_frequencies
    assert len(parsed) == 2


def test_tokenizer_and_template_come_from_the_file(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "folder")
    plain = load_model(str(write_gguf(folder, tmp_path / "plain.gguf")), device="cpu").tokenizer
    tiny = tiny_tokenizer()
    text = "<|im_start|>user\nthe a the<|im_end|>"
    assert plain(text)["input_ids"] == tiny(text)["input_ids"]
    assert plain.chat_template == tiny.chat_template


@pytest.mark.parametrize(
    ("overrides", "match"),
    [
        ({"fields": {"expert_count": 8}}, "a mixture of experts"),
        ({"fields": {"rope.dimension_count": 4}}, "only part of a head is rotated"),
        ({"tensors": {"blk.0.ffn_up.bias": np.zeros(48, np.float32)}}, "1 of its tensors do not belong to the model"),
        ({"architecture": "gpt2"}, "unsupported GGUF architecture 'gpt2'. Supported: llama"),
        ({"architecture": "qwen2"}, "have no qwen2.attention.head_count"),
    ],
)
def test_files_that_are_not_computed(tmp_path: Path, overrides: dict[str, Any], match: str) -> None:
    folder = write_tiny_model(tmp_path / "folder")
    if overrides.get("architecture") == "qwen2":
        writer = gguf.GGUFWriter(tmp_path / "model.gguf", "qwen2")
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    else:
        write_gguf(folder, tmp_path / "model.gguf", **overrides)
    with pytest.raises(ValueError, match=match):
        load_model(str(tmp_path / "model.gguf"), device="cpu")


@pytest.mark.parametrize("left", [0, 3, 300, -1000])
def test_truncated_file(tmp_path: Path, left: int) -> None:
    path = write_gguf(write_tiny_model(tmp_path / "folder"), tmp_path / "model.gguf")
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(ValueError, match="not a readable GGUF file"):
        load_spec(str(path))


def test_sliding_window_bounds_the_length(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "folder")
    path = write_gguf(folder, tmp_path / "model.gguf", fields={"attention.sliding_window": 100})
    assert load_spec(str(path)).max_length == 100
