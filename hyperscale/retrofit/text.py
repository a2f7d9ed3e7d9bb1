"""Text packed into rows of tokens, from a local JSONL file or a hub dataset."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from hyperscale.retrofit.batches import Batch

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Texts(NamedTuple):
    """Texts and their places in the file or dataset."""

    texts: list[str]
    identity: str
    """Description that tells these texts from others."""
    unit: str
    """Unit that `numbers` count, as in `--data text.jsonl, line`."""
    numbers: Sequence[int]

    def place(self, index: int) -> str:
        """Return a text's place, for messages."""
        return f"{self.unit} {self.numbers[index]}"


class PackedText:
    """Batches of shuffled documents, each closed by the end-of-sequence token, cut into rows of `context` tokens.

    A document cut at a row's end continues in the next row as a new document: nothing is attended across rows or
    documents, and positions restart at 0. Only as much text is tokenized as `rows` needs; after its last row, the text
    repeats with its rows in another order.
    """

    def __init__(
        self, texts: Texts, tokenizer: PreTrainedTokenizerBase, *,
        context: int, batch_size: int, rows: int, seed: int,
    ) -> None:  # fmt: skip
        self.identity = f"{texts.identity}, context {context}"
        self._batch_size, self._seed = batch_size, seed
        order = np.random.default_rng(seed).permutation(len(texts.texts))
        self._tokens, self._document = _pack(texts.texts, order, tokenizer, context, rows)
        if not len(self._tokens):
            raise ValueError(
                f"{texts.identity}: {len(texts.texts):,} documents are fewer tokens than one row of "
                f"--context {context:,}; lower it or give more text"
            )
        self._eos = tokenizer.eos_token_id

    def batch(self, step: int) -> Batch:
        """Return the batch_size rows from (step - 1) * batch_size on."""
        numbers = range((step - 1) * self._batch_size, step * self._batch_size)
        rows = [self._row(number) for number in numbers]
        tokens_bt = torch.from_numpy(self._tokens[rows].astype(np.int64))
        document_bt = torch.from_numpy(self._document[rows].astype(np.int64))
        counted_bt = torch.ones_like(document_bt, dtype=torch.bool)
        # The token after a document's end starts a new one, which the model cannot predict.
        counted_bt[:, :-1] = document_bt[:, 1:] == document_bt[:, :-1]
        if self._eos is not None:
            counted_bt[:, -1] = tokens_bt[:, -1] != self._eos
        return Batch(tokens_bt, document_bt, counted_bt)

    def _row(self, number: int) -> int:
        epoch, at = divmod(number, len(self._tokens))
        if not epoch:
            return at
        return int(np.random.default_rng([self._seed, epoch]).permutation(len(self._tokens))[at])


def _pack(
    texts: Sequence[str], order: NDArray[np.int64], tokenizer: PreTrainedTokenizerBase, context: int, rows: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    needed, found = rows * context, 0
    pieces: list[NDArray[np.int32]] = []
    for start in range(0, len(order), 1000):
        if found >= needed:
            break
        some = [texts[int(index)] for index in order[start : start + 1000]]
        pieces += [np.array([*ids, *end], np.int32) for ids in tokenizer(some)["input_ids"]]
        found = sum(len(piece) for piece in pieces)
    tokens: NDArray[np.int32] = np.concatenate([np.empty(0, np.int32), *pieces])
    document = np.repeat(np.arange(len(pieces), dtype=np.int32), [len(piece) for piece in pieces])
    whole = min(len(tokens) // context, rows)
    return tokens[: whole * context].reshape(-1, context), document[: whole * context].reshape(-1, context)


def read_jsonl(path: Path, field: str) -> Texts:
    """Read the texts of a JSONL file; ValueError names the wrong line."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"--data {path}: {error.strerror}") from None
    unit, rows = f"--data {path}, line", list(_rows(content, path))
    texts = [_text(row, field, f"{unit} {number}") for number, row in rows]
    if not texts:
        raise ValueError(f"--data {path}: no documents in it; give a JSON object per line")
    identity = f"{path.name}, sha256 {hashlib.sha256(content).hexdigest()[:16]}, field {field}"
    return Texts(texts, identity, unit, [number for number, _ in rows])


def read_hub(dataset: str, config: str | None, split: str, revision: str | None, field: str) -> Texts:
    """Read the texts of a hub dataset, or of anything else that `datasets` loads by that name."""
    from datasets import load_dataset

    try:
        loaded = load_dataset(dataset, config, split=split, revision=revision)
    except Exception as error:  # the hub's client raises many types
        raise ValueError(f"--dataset {dataset}: {' '.join(str(error).split())}") from None
    if field not in loaded.column_names:
        raise ValueError(
            f"--dataset {dataset}: no column {field!r}; --text-field takes one of {', '.join(loaded.column_names)}"
        )
    texts = [_text({field: text}, field, f"--dataset {dataset}") for text in loaded[field]]
    identity = f"{dataset}, {config}, {split}, revision {revision}, fingerprint {loaded._fingerprint}, field {field}"
    return Texts(texts, identity, f"--dataset {dataset}, row", range(len(texts)))


def _rows(content: bytes, path: Path) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(content.splitlines(), 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except ValueError as error:
                raise ValueError(f"--data {path}, line {number}: not JSON: {error}") from None


def _text(row: Any, field: str, place: str) -> str:
    text = row.get(field) if isinstance(row, dict) else None
    if not isinstance(text, str) or not text:
        raise ValueError(f"{place}: no text in field {field!r}; --text-field names another")
    return text
