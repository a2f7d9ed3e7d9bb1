from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from hyperscale.model.decoder import Decoder
from hyperscale.model.load import Model, load_model
from tests.model.attend import causal_attend
from tests.tiny_models import LINEAR_ROPE, LLAMA3_ROPE, YARN_ROPE, write_tiny_model

CASES: dict[str, dict[str, Any]] = {
    "llama": {"family": "llama"},
    "llama-tied": {"family": "llama", "tie_word_embeddings": True},
    "llama-llama3": {"family": "llama", "rope_parameters": LLAMA3_ROPE},
    "llama-linear": {"family": "llama", "rope_parameters": LINEAR_ROPE},
    "llama-biases": {"family": "llama", "attention_bias": True, "mlp_bias": True},
    "llama-no-gqa": {"family": "llama", "num_key_value_heads": 4},
    "llama-group-of-3": {
        "family": "llama",
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "hidden_size": 48,
    },
    "llama-sharded": {"family": "llama", "max_shard_size": "10KB"},
    "mistral": {"family": "mistral"},
    "qwen2": {"family": "qwen2"},
    "qwen2-tied-yarn": {"family": "qwen2", "tie_word_embeddings": True, "rope_parameters": YARN_ROPE},
    "qwen3": {"family": "qwen3"},
    "qwen3-wide-heads": {"family": "qwen3", "head_dim": 16, "tie_word_embeddings": True},
    "qwen3-biases": {"family": "qwen3", "attention_bias": True, "num_key_value_heads": 1},
}


class PlainCache:
    """The obvious attention with a cache: one sequence, keys and values concatenated step by step."""

    def __init__(self) -> None:
        self.seen: dict[int, tuple[Tensor, Tensor]] = {}

    def __call__(self, layer: int, q_nhd: Tensor, k_nkd: Tensor, v_nkd: Tensor) -> Tensor:
        if layer in self.seen:
            k_nkd, v_nkd = (torch.cat(both) for both in zip(self.seen[layer], (k_nkd, v_nkd), strict=True))
        self.seen[layer] = k_nkd, v_nkd
        queries, keys = len(q_nhd), len(k_nkd)
        k, v = (x.repeat_interleave(q_nhd.shape[1] // x.shape[1], dim=1) for x in (k_nkd, v_nkd))
        scores = torch.einsum("nhd,mhd->hnm", q_nhd, k) / q_nhd.shape[-1] ** 0.5
        later = torch.arange(keys) > torch.arange(keys - queries, keys)[:, None]
        return torch.einsum("hnm,mhd->nhd", scores.masked_fill(later, -torch.inf).softmax(-1), v)


def stepwise_logits(decoder: Decoder, tokens: Tensor, prefill: int) -> Tensor:
    cache = PlainCache()
    parts = [tokens[:prefill], *tokens[prefill:].split(1)]
    logits, start = [], 0
    for part in parts:
        positions = torch.arange(start, start + len(part))
        logits.append(decoder.logits(decoder.hidden(part, positions, cache)))
        start += len(part)
    return torch.cat(logits)


@pytest.fixture(scope="module", params=CASES)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Any]:
    folder = write_tiny_model(tmp_path_factory.mktemp("tiny"), **CASES[request.param])
    if "max_shard_size" in CASES[request.param]:
        assert len(list(folder.glob("*.safetensors"))) > 3
    model = load_model(str(folder), device="cpu")
    return model, AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@torch.inference_mode()
def test_prefill_logits_equal_transformers(pair: tuple[Model, Any]) -> None:
    model, reference = pair
    tokens = torch.randint(model.spec.vocab, (200,), generator=torch.Generator().manual_seed(1))
    expected = reference(tokens[None]).logits[0]
    actual = model.decoder.logits(model.decoder.hidden(tokens, torch.arange(200), causal_attend([200])))
    assert expected.std() > 0.1
    assert (actual - expected).abs().max() <= 1e-4
    torch.testing.assert_close(actual.argmax(-1), expected.argmax(-1))


@torch.inference_mode()
def test_stepwise_logits_equal_transformers(pair: tuple[Model, Any]) -> None:
    model, reference = pair
    tokens = torch.randint(model.spec.vocab, (24,), generator=torch.Generator().manual_seed(2))
    expected = reference(tokens[None]).logits[0]
    actual = stepwise_logits(model.decoder, tokens, prefill=9)
    assert (actual - expected).abs().max() <= 1e-4


@torch.inference_mode()
def test_packed_sequences_do_not_see_each_other(pair: tuple[Model, Any]) -> None:
    model, reference = pair
    generator = torch.Generator().manual_seed(3)
    lengths = [5, 1, 17]
    parts = [torch.randint(model.spec.vocab, (length,), generator=generator) for length in lengths]
    positions = torch.cat([torch.arange(length) for length in lengths])
    packed = model.decoder.logits(model.decoder.hidden(torch.cat(parts), positions, causal_attend(lengths)))
    for part, actual in zip(parts, packed.split(lengths), strict=True):
        assert (actual - reference(part[None]).logits[0]).abs().max() <= 1e-4


def test_gradients_equal_transformers(pair: tuple[Model, Any]) -> None:
    model, reference = pair
    decoder = model.decoder.requires_grad_(True)
    decoder.zero_grad()
    reference.zero_grad()
    tokens = torch.randint(model.spec.vocab, (12,), generator=torch.Generator().manual_seed(4))
    decoder.logits(decoder.hidden(tokens, torch.arange(12), causal_attend([12]))).square().mean().backward()
    reference(tokens[None]).logits.square().mean().backward()
    embed, first = reference.model.embed_tokens.weight, reference.model.layers[0].self_attn
    queries = model.spec.heads * model.spec.head_dim
    torch.testing.assert_close(decoder.embed.grad, embed.grad, atol=1e-5, rtol=1e-3)
    ours = decoder.get_parameter("layers.0.qkv").grad
    assert ours is not None
    torch.testing.assert_close(ours[:queries], first.q_proj.weight.grad, atol=1e-5, rtol=1e-3)


@torch.inference_mode()
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_near_float32(tmp_path: Path, dtype: str) -> None:
    folder = str(write_tiny_model(tmp_path, "qwen3"))
    tokens = torch.randint(250, (100,), generator=torch.Generator().manual_seed(5))
    logits = []
    for name in ("float32", dtype):
        decoder = load_model(folder, dtype=name, device="cpu").decoder
        assert decoder.embed.dtype == getattr(torch, name)
        logits.append(decoder.logits(decoder.hidden(tokens, torch.arange(100), causal_attend([100]))))
    assert logits[1].dtype == torch.float32
    assert (logits[0] - logits[1]).abs().mean() < 0.02 * logits[0].std()


def test_tied_embedding_is_one_parameter(tmp_path: Path) -> None:
    decoder = load_model(str(write_tiny_model(tmp_path, tie_word_embeddings=True)), device="cpu").decoder
    assert decoder.unembed is None
    assert sum(parameter.shape == decoder.embed.shape for parameter in decoder.parameters()) == 1
