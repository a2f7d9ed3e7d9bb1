"""Batches of a step: rows of tokens that hold one document or several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class Batch(NamedTuple):
    """b rows of t tokens; a document is a run of equal numbers in a row of document_bt, padding is -1."""

    tokens_bt: Tensor
    document_bt: Tensor
    counted_bt: Tensor
    """Whether a token's prediction counts in the loss: not for padding, nor at a document's last token."""

    @property
    def tokens(self) -> int:
        """Number of tokens without padding."""
        return int((self.document_bt >= 0).sum())

    def rows(self, start: int, stop: int | None, step: int = 1) -> Batch:
        """Return every `step`-th row of [start, stop)."""
        return Batch(*(x_bt[start:stop:step] for x_bt in self))

    def to(self, device: torch.device) -> Batch:
        """Copy the batch to a device."""
        return Batch(*(x_bt.to(device) for x_bt in self))


class Batches(Protocol):
    """Data of a run. A batch is a function of its step, so a run resumes from its step number alone."""

    @property
    def identity(self) -> str:
        """Description that tells these batches from others; fixed within a run's folder."""

    def batch(self, step: int) -> Batch:
        """Return the batch of a step, counted from 1; every step has the same number of rows, t may differ."""


def padded(sequences: Sequence[Sequence[int]], pad: int = 0) -> Batch:
    """Make a batch of one document per row, padded with `pad` to the longest."""
    tokens_bt = torch.full((len(sequences), max(len(sequence) for sequence in sequences)), pad)
    document_bt = torch.full_like(tokens_bt, -1)
    for row, sequence in enumerate(sequences):
        tokens_bt[row, : len(sequence)] = torch.as_tensor(sequence)
        document_bt[row, : len(sequence)] = 0
    counted_bt = document_bt >= 0
    counted_bt[torch.arange(len(sequences)), torch.tensor([len(sequence) - 1 for sequence in sequences])] = False
    return Batch(tokens_bt, document_bt, counted_bt)


@dataclass(frozen=True)
class Layout:
    """Document boundaries of a batch: a token attends from the first token of its document on."""

    first_bt: Tensor
    """Column of the first token of each token's document."""
    starts_bt: Tensor
    """Whether a token is its document's first."""
    plain: bool
    """Whether plain causal attention suffices: no row has a second document."""

    @classmethod
    def of(cls, batch: Batch) -> Layout:
        """Make the layout of a batch."""
        document_bt = batch.document_bt
        starts_bt = torch.ones_like(document_bt, dtype=torch.bool)
        starts_bt[:, 1:] = document_bt[:, 1:] != document_bt[:, :-1]
        column_t = torch.arange(document_bt.shape[1], device=document_bt.device)
        first_bt = torch.where(starts_bt, column_t, 0).cummax(dim=1).values
        return cls(first_bt, starts_bt, not (first_bt * (document_bt >= 0)).any())

    @property
    def positions_n(self) -> Tensor:
        """Position of each token in its document, in flat order."""
        return (torch.arange(self.first_bt.shape[1], device=self.first_bt.device) - self.first_bt).flatten()
