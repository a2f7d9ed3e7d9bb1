"""A real checkpoint, from a quantized GGUF file, against transformers."""

from __future__ import annotations

import torch
from transformers import PreTrainedModel

from hyperscale.model.chat import encode_prompt, text_and_ends
from hyperscale.model.decoder import Decoder
from hyperscale.model.load import Model
from tests.model.attend import causal_attend
from tests.model.test_decoder import PlainCache, stepwise_logits

PROMPT = "Natalia sold clips to 48 of her friends, and then half as many. How many clips did she sell?"


def greedy(model: Model, prompt: list[int], steps: int) -> list[int]:
    cache, generated, position = PlainCache(), list[int](), 0
    fed = prompt
    while len(generated) < steps and not model.eos_ids.intersection(generated[-1:]):
        positions = torch.arange(position, position + len(fed))
        x_nd = model.decoder.hidden(torch.tensor(fed), positions, cache)
        generated.append(int(model.decoder.logits(x_nd[-1:]).argmax()))
        position, fed = position + len(fed), generated[-1:]
    return generated


def test_spec(smollm2: Model) -> None:
    spec = smollm2.spec
    assert (spec.layers, spec.hidden, spec.heads, spec.kv_heads, spec.head_dim) == (30, 576, 9, 3, 64)
    assert (spec.vocab, spec.tied, spec.max_length, spec.eos_ids) == (49152, True, 8192, (2,))
    assert abs(spec.rope_frequencies[16] - 100_000 ** (-0.5)) < 1e-9


@torch.inference_mode()
def test_logits_equal_transformers(smollm2: Model, smollm2_reference: PreTrainedModel) -> None:
    tokens = torch.tensor(encode_prompt(smollm2.tokenizer, PROMPT))
    expected = smollm2_reference(tokens[None]).logits[0]
    whole = causal_attend([len(tokens)])
    prefill = smollm2.decoder.logits(smollm2.decoder.hidden(tokens, torch.arange(len(tokens)), whole))
    assert (prefill - expected).abs().max() <= 1e-4
    stepwise = stepwise_logits(smollm2.decoder, tokens, prefill=len(tokens) - 6)
    assert (stepwise - expected).abs().max() <= 1e-4


@torch.inference_mode()
def test_bfloat16_mostly_agrees(smollm2: Model) -> None:
    tokens = torch.tensor(encode_prompt(smollm2.tokenizer, PROMPT))
    half = Decoder(smollm2.spec)
    half.load_state_dict(smollm2.decoder.state_dict())
    choices = []
    for decoder in (smollm2.decoder, half.bfloat16()):
        x_nd = decoder.hidden(tokens, torch.arange(len(tokens)), causal_attend([len(tokens)]))
        choices.append(decoder.logits(x_nd).argmax(-1))
    assert (choices[0] == choices[1]).float().mean() > 0.9


@torch.inference_mode()
def test_it_answers(smollm2: Model) -> None:
    prompt = encode_prompt(smollm2.tokenizer, "What is 2+2?")
    generated = greedy(smollm2, prompt, 30)
    text, ends = text_and_ends(smollm2.tokenizer, generated)
    assert "4" in text
    assert generated[-1] in smollm2.eos_ids
    assert ends[-1] == ends[-2] == len(text)


def test_chat_tokens(smollm2: Model) -> None:
    names = smollm2.tokenizer.convert_ids_to_tokens(encode_prompt(smollm2.tokenizer, "Hi 12", "Be brief"))
    assert names == [
        *("<|im_start|>", "system", "Ċ", "Be", "Ġbrief", "<|im_end|>", "Ċ"),
        *("<|im_start|>", "user", "Ċ", "Hi", "Ġ", "1", "2", "<|im_end|>", "Ċ"),
        *("<|im_start|>", "ass", "istant", "Ċ"),
    ]
    assert smollm2.chat_template_sha is not None


def test_digits_are_split_off_first(smollm2: Model) -> None:
    assert smollm2.tokenizer("x\n\n12  3")["input_ids"] == smollm2.tokenizer.convert_tokens_to_ids(
        ["x", "ĊĊ", "1", "2", "ĠĠ", "3"]
    )


def test_text_ends_cut_real_text(smollm2: Model) -> None:
    tokens = smollm2.tokenizer("Naïve café: 漢字 🙂🙂 — ∑ x² = ½ <|im_end|>")["input_ids"]
    text, ends = text_and_ends(smollm2.tokenizer, tokens)
    for g, end in enumerate(ends, start=1):
        assert text[:end] == smollm2.tokenizer.decode(tokens[:g], skip_special_tokens=True).rstrip("�")
