"""Batches of the text that a config names."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hyperscale.retrofit.batches import Batches
from hyperscale.retrofit.config import RetrofitConfig
from hyperscale.retrofit.samples import OwnSamples
from hyperscale.retrofit.text import PackedText, Texts, read_hub, read_jsonl

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MakeBatches = Callable[["PreTrainedTokenizerBase"], Batches]
"""Maker of batches, called once the model's tokenizer is loaded."""


def text_batches(config: RetrofitConfig) -> MakeBatches:
    """Read the text that the config names; return a maker of batches of it, or of the model's answers to it.

    Raise ValueError if it cannot be read.
    """
    texts = _read(config)

    def make(tokenizer: PreTrainedTokenizerBase) -> Batches:
        if config.data_from_model:
            return OwnSamples(texts, tokenizer, config)
        return PackedText(
            texts, tokenizer,
            context=config.context, batch_size=config.batch_size, rows=config.rows, seed=config.seed,
        )  # fmt: skip

    return make


def _read(config: RetrofitConfig) -> Texts:
    if config.data is not None:
        return read_jsonl(config.data, config.text_field)
    if config.dataset is not None:
        return read_hub(config.dataset, config.dataset_config, config.split, config.dataset_revision, config.text_field)
    raise ValueError("say what to train on: --data FILE.jsonl or --dataset HUB_ID")
