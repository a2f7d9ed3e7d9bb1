from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

from hyperscale.hardware.devices import PRESETS, Device
from hyperscale.hardware.roofline import (
    Ceiling,
    Shape,
    Step,
    ceiling,
    prefill_seconds,
    prompt_seconds,
    roofline_micros,
    shape_of,
)
from hyperscale.model.decoder import Decoder
from hyperscale.model.spec import ModelSpec, spec_from_config

LLAMA_8B = LlamaConfig(
    hidden_size=4096, num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=8, intermediate_size=14336,
    vocab_size=128256, max_position_embeddings=131072, attn_implementation="eager",
)  # fmt: skip
# 6 heads of 24 are 144, not the hidden 96.
ODD = LlamaConfig(
    hidden_size=96, num_hidden_layers=3, num_attention_heads=6, num_key_value_heads=2, head_dim=24,
    intermediate_size=160, vocab_size=500, max_position_embeddings=512, attn_implementation="eager",
)  # fmt: skip
H100 = PRESETS["h100"]
KI = 1024


def spec_of(config: LlamaConfig) -> ModelSpec:
    return spec_from_config(config)


def test_llama_3_1_8b_takes_what_the_paper_says() -> None:
    shape = shape_of(spec_of(LLAMA_8B), "bfloat16")
    for batch, context in ((1, 0), (1, 8 * KI), (32, 8 * KI), (256, 128 * KI)):
        step = Step(shape, batch, context)
        assert step.weight_bytes + step.kv_bytes == pytest.approx(1.50e10 + 1.31e5 * batch * context, rel=2e-3)
        assert step.flops == pytest.approx(1.50e10 * batch + 5.24e5 * batch * context, rel=2e-3)
    assert shape.kv_bytes == 4 * 1024 * 32
    assert shape.read_flops == 4 * 4096 * 32


@pytest.mark.parametrize("config", [LLAMA_8B, ODD], ids=["llama-3.1-8b", "odd"])
def test_flops_are_those_that_a_step_of_the_real_model_takes(config: LlamaConfig) -> None:
    batch, context = 3, 200
    with torch.device("meta"):
        model = LlamaForCausalLM(config).eval()
        cache = DynamicCache()
        for layer in range(config.num_hidden_layers):
            past = torch.empty(batch, config.num_key_value_heads, context - 1, config.head_dim)
            cache.update(past, past, layer)
        tokens, positions = torch.zeros(batch, 1, dtype=torch.long), torch.full((batch, 1), context - 1)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(tokens, past_key_values=cache, position_ids=positions)
    step = Step(shape_of(spec_of(config), "bfloat16"), batch, context)
    assert counter.get_total_flops() == step.flops


@pytest.mark.parametrize("tied", [True, False])
def test_bytes_are_those_of_the_decoders_own_matrices(tied: bool) -> None:
    config = LlamaConfig(**{**ODD.to_dict(), "tie_word_embeddings": tied})
    spec = spec_of(config)
    with torch.device("meta"):
        decoder = Decoder(spec)
    matrices = [weight for weight in decoder.parameters() if weight.dim() == 2]
    stored = sum(weight.numel() for weight in matrices)
    read = stored if tied else stored - decoder.embed.numel()
    for dtype, size in (("float32", 4), ("bfloat16", 2), ("float16", 2)):
        shape = shape_of(spec, dtype)
        assert shape.tied == tied
        assert shape.weight_bytes == size * read
        assert shape.stored_bytes == size * stored
    with pytest.raises(ValueError, match="'int8': expected one of float32"):
        shape_of(spec, "int8")


def test_latency_and_kv_share_over_figure_9() -> None:
    shape = shape_of(spec_of(LLAMA_8B), "bfloat16")
    for ratio in (1, 4, 8):
        for batch in (1, 2, 4, 8, 16, 32, 64, 128, 256):
            shares = []
            for context in (1, 2, 4, 8, 16, 32, 64, 128):
                kept = context * 1024 / ratio
                memory = (1.501e10 + 131072 * batch * kept) / 3.35e12
                compute = (1.501e10 * batch + 524288 * batch * kept) / 989.5e12
                step = Step(shape, batch, context * 1024, ratio)
                assert step.seconds(H100) == pytest.approx(max(memory, compute), rel=1e-3)
                share = 131072 * batch * kept / 3.35e12 / max(memory, compute)
                assert step.kv_share(H100) == pytest.approx(share, rel=1e-3)
                shares.append(step.kv_share(H100))
            assert shares == sorted(shares)
    # On paper: 256 x 8,192 x 131,072 B of KV beside 15 GB of weights; at CR 8 an eighth.
    assert Step(shape, 256, 8192).kv_share(H100) == pytest.approx(274.9 / (274.9 + 15.0), abs=1e-3)
    assert Step(shape, 256, 8192, 8).kv_share(H100) == pytest.approx(34.36 / (34.36 + 15.0), abs=1e-3)
    assert Step(shape, 1, 1024).kv_share(H100) == pytest.approx(0.134 / (0.134 + 15.0), abs=1e-3)


def test_a_batch_becomes_bound_by_arithmetic_where_the_weights_are_used_often_enough() -> None:
    shape = shape_of(spec_of(LLAMA_8B), "bfloat16")
    # 989.5e12 / 3.35e12 = 295.4 FLOPs a byte; a weight of 2 bytes gives 2 FLOPs a thread.
    assert Step(shape, 295, 0).seconds(H100) == pytest.approx(shape.weight_bytes / 3.35e12)
    assert Step(shape, 296, 0).seconds(H100) == pytest.approx(296 * 1.501e10 / 989.5e12, rel=1e-3)
    assert Step(shape, 296, 0).seconds(H100) > shape.weight_bytes / 3.35e12


def test_micros_are_a_threads_share_of_a_step_of_threads_like_it() -> None:
    spec = spec_of(LLAMA_8B)
    shape, bound = shape_of(spec, "bfloat16"), ceiling(spec, "bfloat16", H100)
    rows, token_bytes = 32 * 8, 2 * 128 * 2
    context = np.array([100, 8192, 131072])
    for batch in (1.0, 37.0, 5000.0):
        micros = roofline_micros(context * rows, batch, token_bytes, rows, bound)
        for length, share in zip(context.tolist(), micros.tolist(), strict=True):
            assert share == pytest.approx(Step(shape, batch, length).seconds(H100) / batch * 1e6, rel=1e-12)
    # Rows of different lengths: what counts is their sum.
    ragged = np.array([sum(range(rows)) * 10])
    [share] = roofline_micros(ragged, 4, token_bytes, rows, bound).tolist()
    read = (2 * 7504658432 / 4 + sum(10 * row * 512 for row in range(rows))) / 3.35e12
    assert share == pytest.approx(read * 1e6, rel=1e-6)


def test_each_step_has_the_batch_that_it_had() -> None:
    """Halves of a chain with 16 threads and alone: not those of their mean, 8.5, whose weights are half as heavy."""
    bound = ceiling(spec_of(LLAMA_8B), "bfloat16", H100)
    reads, threads = np.full(4, 256 * 100), np.array([16, 16, 1, 1])
    micros = roofline_micros(reads, threads, 512, 256, bound)
    weights = 2 * 7504658432 / 3.35e12 * 1e6
    expected = [weights / count + 256 * 100 * 512 / 3.35e12 * 1e6 for count in (16, 16, 1, 1)]
    assert micros.tolist() == pytest.approx(expected)
    assert micros.sum() > 1.9 * roofline_micros(reads, 8.5, 512, 256, bound).sum()


def test_arithmetic_is_that_of_a_head_and_traffic_that_of_its_group() -> None:
    """Two of four rows' heads chose other pages: 30 KV tokens a row are read, and each head attends 20 of them."""
    bound = Ceiling(weight_bytes=0, token_flops=5, head_flops=0, read_flops=3, peak_flops=1, peak_bandwidth=1e9)
    assert roofline_micros(np.array([4 * 30, 4 * 7]), 1, 1, 4, bound, 20) == pytest.approx([65e6, 26e6])
    assert roofline_micros(np.array([4 * 30]), 1, 1, 4, bound) == pytest.approx([95e6])
    slow = replace(bound, peak_flops=1e9, peak_bandwidth=1)
    assert roofline_micros(np.array([4 * 30]), 1, 1, 4, slow, 20) == pytest.approx([120e6])


def test_a_prompt_fed_by_token_costs_a_pass_over_the_weights_each() -> None:
    bound = Ceiling(weight_bytes=1000, token_flops=70, head_flops=20, read_flops=3, peak_flops=10, peak_bandwidth=100)
    for prompt, dense in ((5, 5), (5, 9), (6, 5), (40, 5)):
        seconds = prefill_seconds(min(prompt, dense), 2, 6, bound)
        for _ in range(dense, prompt):
            seconds += max((70 + 3 * dense) / 10, (1000 + dense * 6 * 2) / 100)
        assert prompt_seconds(prompt, dense, 2, 6, bound) == pytest.approx(seconds)
    # 7B on an H100, a prompt of 4k at B = 1k: 3,072 passes over 14.1 GB, where one prefill of it takes 57 ms.
    qwen = Shape(28, 3584, 3584, 512, 18944, 152064, False, 2)
    card = Ceiling(qwen.weight_bytes, qwen.token_flops, qwen.head_flops, qwen.read_flops, 989.5e12, 3.35e12)
    assert prompt_seconds(4096, 4096, 512, 112, card) == pytest.approx(0.057, rel=0.02)
    assert prompt_seconds(4096, 1024, 512, 112, card) == pytest.approx(13.0, rel=0.01)


def test_micros_of_no_steps_are_none() -> None:
    assert roofline_micros(np.array([], np.int64), 0.0, 1, 1, Ceiling(1, 1, 1, 1, 1, 1)).shape == (0,)


def test_devices_share_the_work() -> None:
    spec = spec_of(LLAMA_8B)
    one, four = ceiling(spec, "bfloat16", H100), ceiling(spec, "bfloat16", H100, 4)
    assert four == replace(one, peak_flops=4 * 989.5e12, peak_bandwidth=4 * 3.35e12)
    reads = np.array([10**6, 10**9])
    np.testing.assert_allclose(roofline_micros(reads, 8, 512, 256, one), 4 * roofline_micros(reads, 8, 512, 256, four))


def test_prefill_is_the_sum_of_its_tokens_or_a_pass_over_the_weights() -> None:
    bound = Ceiling(weight_bytes=1000, token_flops=70, head_flops=20, read_flops=3, peak_flops=10, peak_bandwidth=100)
    for prompt in (1, 2, 5, 40):
        flops = sum(70 + 3 * position for position in range(1, prompt + 1))
        spared = flops - 20 * (prompt - 1)
        traffic = (1000 + prompt * 6 * 2) / 100
        assert prefill_seconds(prompt, 2, 6, bound) == pytest.approx(max(spared / 10, traffic))
    assert prefill_seconds(1, 2, 6, bound) == pytest.approx(10.12)


def test_prefill_of_a_real_prompt() -> None:
    """A prompt's products, counted by hand for the odd model: 77 tokens, of which the last needs the unembedding."""
    shape = Shape(layers=3, hidden=96, q_dim=144, kv_dim=48, ffn=160, vocab=500, tied=False, number_bytes=2)
    assert shape_of(spec_of(ODD), "float16") == replace(shape, tied=ODD.tie_word_embeddings)
    layer = 96 * 144 + 2 * 96 * 48 + 144 * 96 + 3 * 96 * 160
    flops = sum(3 * (2 * layer + 2 * 144 * t + 2 * 144 * t) for t in range(1, 78)) + 2 * 96 * 500
    device = Device("slow", flops=1e6, bandwidth=math.inf, memory_bytes=0)
    seconds = prefill_seconds(77, 2 * 24 * 2, 3 * 2, ceiling(spec_of(ODD), "float16", device))
    assert seconds == pytest.approx(flops / 1e6)
