"""One decode step of the model: a token of each sequence in, logits out."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from hyperscale.backends.base import Backend
from hyperscale.model.decoder import Decoder

TILE = 32
"""Rows of every pass under `batch_invariant`: one shape, whatever the batch."""


class DecodeStep:
    """The model over a backend. With `batch_invariant`, passes have `TILE` rows, so that logits do not vary with n."""

    def __init__(self, decoder: Decoder, backend: Backend, batch_invariant: bool) -> None:
        self._decoder, self._backend, self._batch_invariant = decoder, backend, batch_invariant

    def __call__(self, seqs: NDArray[np.int64], tokens_n: Tensor, positions_n: Tensor) -> Tensor:
        """Feed one token to each sequence. Returns logits_nv."""
        if not self._batch_invariant:
            return self._padded(seqs, tokens_n, positions_n, len(seqs))
        tiles = np.split(seqs, range(TILE, len(seqs), TILE))
        passes = zip(tiles, torch.split(tokens_n, TILE), torch.split(positions_n, TILE), strict=True)
        return torch.cat([self._padded(*tile, TILE) for tile in passes])

    def _padded(self, seqs: NDArray[np.int64], tokens_n: Tensor, positions_n: Tensor, size: int) -> Tensor:
        """Decode in a pass of `size` rows; rows past the last sequence attend nothing."""
        n = len(seqs)

        def attend(layer: int, *qkv: Tensor) -> Tensor:
            out_nhd = self._backend.decode(layer, seqs, *(x[:n] for x in qkv))
            return out_nhd if n == size else pad(out_nhd, (0, 0, 0, 0, 0, size - n))

        tokens_n, positions_n = (pad(x, (0, size - n)) for x in (tokens_n, positions_n))
        return self._decoder.logits(self._decoder.hidden(tokens_n, positions_n, attend, self._backend.gated))[:n]
