"""The model's passes over a backend: a prompt's prefill, and a decode step of one token of each sequence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from hyperscale.backends.base import Backend
from hyperscale.kvcache.block_pool import BLOCK_SIZE
from hyperscale.kvcache.meter import Meter
from hyperscale.model.decoder import Decoder

PREFILL_CHUNK = 128 * BLOCK_SIZE
"""Prompt tokens prefilled in one go. A multiple of the block size, as `BlockTable.extend` asks."""

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


class PrefillPass:
    """Feeds a prompt to a sequence: the dense part in pieces, what a bound backend leaves of it one by one."""

    def __init__(self, decoder: Decoder, backend: Backend, decode: DecodeStep, meter: Meter) -> None:
        self._decoder, self._backend, self._decode, self._meter = decoder, backend, decode, meter

    def __call__(self, seq: int, tokens: Sequence[int]) -> Tensor:
        """Prefill an empty sequence, which has begun. Returns logits_1v after the last token."""
        device = self._decoder.embed.device
        tokens_t, positions_t = torch.tensor(tokens, device=device), torch.arange(len(tokens), device=device)
        dense = self._backend.dense_prompt(len(tokens))
        size = max(dense, 1) if self._backend.whole_prompt else PREFILL_CHUNK
        for chunk in zip(torch.split(tokens_t[:dense], size), torch.split(positions_t[:dense], size), strict=True):
            x_td = self._decoder.hidden(
                *chunk, lambda layer, *qkv: self._backend.prefill(layer, seq, *qkv), self._backend.gated
            )
        logits_1v = self._decoder.logits(x_td[-1:])
        seqs = np.array([seq], np.int64)
        for t in range(dense, len(tokens)):
            logits_1v = self._decode(seqs, tokens_t[t : t + 1], positions_t[t : t + 1])
            # Reads of a prompt are not counted: paper, section 5.1 counts generation steps.
            self._meter.take(seqs)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return logits_1v
