"""Where a run's batches come from."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hyperscale.retrofit.batches import Batches
from hyperscale.retrofit.config import RetrofitConfig
from hyperscale.retrofit.samples import OwnSamples
from hyperscale.retrofit.text import PackedText, Texts, read_hub, read_jsonl

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Source = Callable[["PreTrainedTokenizerBase"], Batches]
"""Makes batches once the model's tokenizer is there."""


def text_source(config: RetrofitConfig) -> Source:
    """Batches of the text that the config names, which is read at once, or of answers to it.

    ValueError if it cannot be had.
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
