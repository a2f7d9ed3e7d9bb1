from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from hyperscale.model.chat import encode_prompt, text_and_ends
from hyperscale.tasks.generators.vocabulary import VOCABULARY, make_tokenizer, write_tokenizer
from tests.tasks.generators.prototype import RECORDS, records


@pytest.fixture(scope="module", params=["made", "written and read"])
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerFast:
    if request.param == "made":
        return make_tokenizer()
    folder: Path = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder)
    return AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize(
    "record", [case for case in records("countdown", "trace", "recall") if "ids" in case.values[0]]
)
def test_ids_are_those_that_the_model_was_trained_on(
    tokenizer: PreTrainedTokenizerFast, record: dict[str, Any]
) -> None:
    text = f"{record['prompt']} {record['chain']}"
    assert tokenizer(text)["input_ids"] == record["ids"]
    prompt = encode_prompt(tokenizer, record["prompt"])
    assert prompt == record["ids"][: len(prompt)]
    assert len(prompt) == len(record["prompt"].split())


@pytest.mark.parametrize("record", RECORDS[::6], ids=lambda record: record["kind"])
def test_text_comes_back_without_the_end_mark(tokenizer: PreTrainedTokenizerFast, record: dict[str, Any]) -> None:
    ids = tokenizer(record["chain"])["input_ids"]
    assert tokenizer.decode(ids) == record["chain"]
    text, ends = text_and_ends(tokenizer, ids)
    words = record["chain"].removesuffix(" <eos>").split()
    assert text == " ".join(words)
    assert [text[:end] for end in ends[: len(words)]] == [" ".join(words[:g]) for g in range(1, len(words) + 1)]


def test_every_word_is_one_token_in_its_place(tokenizer: PreTrainedTokenizerFast) -> None:
    assert len(VOCABULARY) == len(set(VOCABULARY)) == len(tokenizer) == 192
    assert tokenizer(" ".join(VOCABULARY))["input_ids"] == list(range(192))
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id) == (0, 1, 2)
    assert tokenizer.bos_token_id is None


def test_unknown_words_are_one_token_each(tokenizer: PreTrainedTokenizerFast) -> None:
    assert tokenizer("trace : 100 Answer")["input_ids"] == [VOCABULARY.index("trace"), VOCABULARY.index(":"), 2, 2]


def test_a_system_message_is_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(ValueError, match="refuses messages of system and user: it takes one user message"):
        encode_prompt(tokenizer, "trace :", "be brief")
