from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from hyperscale.model import chat
from hyperscale.model.chat import encode_prompt, template_sha, text_and_ends
from tests.tiny_models import TEMPLATE, tiny_tokenizer

BYTE_LEVEL = tiny_tokenizer()
TEXTS = st.text(st.sampled_from("the a€ß🙂\n �漢字é "), max_size=40)


def sentencepiece_like() -> PreTrainedTokenizerFast:
    """As Llama 2 and Mistral: "▁" for a space, one prepended, unknown characters as bytes."""
    tokens = ["<unk>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "t", "h", "e", "a", "th", "▁th"]
    vocab = {token: index for index, token in enumerate(tokens)}
    bpe = models.BPE(vocab=vocab, merges=[("t", "h"), ("▁", "th")], byte_fallback=True, unk_token="<unk>")
    backend = Tokenizer(bpe)
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    backend.decoder = decoders.Sequence(steps)
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>", unk_token="<unk>")


def word_level() -> PreTrainedTokenizerFast:
    """One token a word, joined by spaces."""
    words = ["<eos>", "12", "+", "7", "=", "19"]
    backend = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<eos>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>")


SENTENCEPIECE = sentencepiece_like()
WORDS = word_level()


def assert_cuts_are_prefix_decodes(tokenizer: PreTrainedTokenizerFast, tokens: list[int]) -> None:
    text, ends = text_and_ends(tokenizer, tokens)
    expected = [tokenizer.decode(tokens[:g], skip_special_tokens=True).rstrip("�") for g in range(1, len(tokens) + 1)]
    assert [text[:end] for end in ends] == expected
    assert text == (expected[-1] if expected else "")


@given(st.lists(st.integers(0, len(BYTE_LEVEL) - 1), max_size=120))
@settings(max_examples=150, deadline=None)
def test_byte_level_any_tokens(tokens: list[int]) -> None:
    assert_cuts_are_prefix_decodes(BYTE_LEVEL, tokens)


HIGH_BYTES = [index for token, index in BYTE_LEVEL.get_vocab().items() if BYTE_LEVEL.decode([index]) == "�"]


@given(st.lists(st.sampled_from([*HIGH_BYTES, 0]), min_size=60, max_size=200))
@settings(max_examples=60, deadline=None)
def test_byte_level_long_runs_of_stray_bytes(tokens: list[int]) -> None:
    assert len(HIGH_BYTES) > 100
    assert_cuts_are_prefix_decodes(BYTE_LEVEL, tokens)


@given(TEXTS)
@settings(max_examples=100, deadline=None)
def test_byte_level_any_text(text: str) -> None:
    assert_cuts_are_prefix_decodes(BYTE_LEVEL, BYTE_LEVEL(text)["input_ids"])


def sentencepiece_prefix(tokens: list[int]) -> str:
    """By bytes: its own decoder would drop whole characters before an unfinished one."""
    pieces = SENTENCEPIECE.convert_ids_to_tokens(tokens)
    spelled = [
        bytes([int(piece[3:5], 16)]) if piece.startswith("<0x") else piece.replace("▁", " ").encode()
        for piece in pieces
    ]
    return b"".join(spelled).decode(errors="ignore").removeprefix(" ")


@given(TEXTS.filter(lambda text: "�" not in text))
@settings(max_examples=150, deadline=None)
def test_sentencepiece_any_text(text: str) -> None:
    tokens = SENTENCEPIECE(text, add_special_tokens=False)["input_ids"]
    decoded, ends = text_and_ends(SENTENCEPIECE, tokens)
    assert decoded == SENTENCEPIECE.decode(tokens)
    assert [decoded[:end] for end in ends] == [sentencepiece_prefix(tokens[:g]) for g in range(1, len(tokens) + 1)]


@given(st.lists(st.integers(0, len(SENTENCEPIECE) - 1), max_size=120))
@settings(max_examples=100, deadline=None)
def test_sentencepiece_stray_bytes_stay_monotone(tokens: list[int]) -> None:
    text, ends = text_and_ends(SENTENCEPIECE, tokens)
    assert len(ends) == len(tokens)
    assert ends == sorted(ends)
    assert not ends or ends[-1] <= len(text)


@given(st.lists(st.integers(0, len(WORDS) - 1), max_size=30))
@settings(max_examples=50, deadline=None)
def test_word_level_any_tokens(tokens: list[int]) -> None:
    assert_cuts_are_prefix_decodes(WORDS, tokens)


def test_a_character_counts_once_its_last_byte_is_there() -> None:
    tokens = BYTE_LEVEL("a€🙂")["input_ids"]
    assert len(tokens) == 1 + 2 + 4
    assert text_and_ends(BYTE_LEVEL, tokens) == ("a€🙂", [1, 1, 2, 2, 2, 2, 3])


def test_special_and_unknown_tokens_show_nothing() -> None:
    the = BYTE_LEVEL.convert_tokens_to_ids("the")
    tokens = [the, BYTE_LEVEL.eos_token_id, the, len(BYTE_LEVEL) + 40]
    assert text_and_ends(BYTE_LEVEL, tokens) == ("thethe", [3, 3, 6, 6])
    assert text_and_ends(BYTE_LEVEL, []) == ("", [])


@pytest.mark.parametrize("case", ["text", "stray bytes", "special"])
def test_work_is_linear(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = BYTE_LEVEL("the € a 🙂 the")["input_ids"]
    unit = {"text": text, "stray bytes": HIGH_BYTES[:1], "special": [BYTE_LEVEL.eos_token_id]}[case]
    vocabulary = chat._vocabulary(BYTE_LEVEL)
    decoded = 0

    def counting(ids: tuple[int, ...]) -> str:
        nonlocal decoded
        decoded += len(ids)
        return vocabulary.decode(ids)

    monkeypatch.setattr(chat, "_vocabulary", lambda _: vocabulary._replace(decode=counting))
    for length in (500, 4000):
        decoded = 0
        text_and_ends(BYTE_LEVEL, (unit * length)[:length])
        assert length <= decoded <= 60 * length


def test_prompt_goes_through_the_chat_template() -> None:
    assert BYTE_LEVEL.decode(encode_prompt(BYTE_LEVEL, "the a", "be brief")) == (
        "<|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user\nthe a<|im_end|>\n<|im_start|>assistant\n"
    )
    ids = encode_prompt(BYTE_LEVEL, "the a")
    assert ids[0] == BYTE_LEVEL.convert_tokens_to_ids("<|im_start|>")
    assert BYTE_LEVEL.decode(ids) == ("<|im_start|>user\nthe a<|im_end|>\n<|im_start|>assistant\n")
    assert template_sha(BYTE_LEVEL) == hashlib.sha256(TEMPLATE.encode()).hexdigest()


def test_a_template_that_states_the_date_states_the_same_one_every_day() -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = (
        "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
        "{{ date_string }}: {{ messages[0]['content'] }}"
    )
    assert tokenizer.decode(encode_prompt(tokenizer, "the a")) == "26 Jul 2024: the a"


def test_prompt_without_a_template_is_plain_text() -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = None
    assert tokenizer.decode(encode_prompt(tokenizer, "the a")) == "the a"
    assert tokenizer.decode(encode_prompt(tokenizer, "the a", "be brief")) == "be brief\n\nthe a"
    assert template_sha(tokenizer) is None


def test_template_that_refuses_a_system_prompt() -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    )
    with pytest.raises(ValueError, match=r"refuses messages of system and user: no system role"):
        encode_prompt(tokenizer, "the", "be brief")
