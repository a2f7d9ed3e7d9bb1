"""Running sequences as arrays: the last token, what was drawn and counted, the numbers to draw by.

A step reads and writes all sequences of a batch in a few array operations; a loop over them in Python would take as
long as the products of a small model. Indexed by `seq`, the sequence's index in the block table.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hyperscale.engines.torch.sampling import CHUNK, Uniforms
from hyperscale.kvcache.meter import StepCounts


class Steps(NamedTuple):
    """Decode steps of one sequence: an entry each; fields as in `engines.base.Chain`."""

    tokens: NDArray[np.int64]
    """The token that was fed."""
    reads: NDArray[np.int64]
    live: NDArray[np.int64]
    blocks: NDArray[np.int64]
    threads: NDArray[np.int64]
    seconds: NDArray[np.float64]


class SequenceStates:
    """State of up to `seqs` sequences that draw and feed tokens of a vocabulary of `vocab`."""

    def __init__(self, seqs: int, vocab: int, eos_ids: Collection[int]) -> None:
        self.last: NDArray[np.int64] = np.zeros(seqs, np.int64)
        """Token that was drawn last, and is fed next."""
        self.length: NDArray[np.int64] = np.zeros(seqs, np.int64)
        """Tokens of the sequence, prompt and `last` included."""
        self._cap, self._drawn, self._fed = (np.zeros(seqs, np.int64) for _ in range(3))
        self._ends: NDArray[np.bool_] = np.zeros(vocab, np.bool_)
        self._ends[[token for token in eos_ids if token < vocab]] = True
        # The last CHUNK steps; whole chunks move to `_chunks`.
        self._ints: NDArray[np.int64] = np.zeros((5, seqs, CHUNK), np.int64)
        self._seconds: NDArray[np.float64] = np.zeros((seqs, CHUNK))
        self._chunks: dict[int, list[tuple[NDArray[np.int64], NDArray[np.float64]]]] = {}
        self._uniforms: dict[int, Uniforms] = {}
        self._ahead: NDArray[np.float64] = np.zeros((seqs, CHUNK))

    def begin(self, seq: int, prompt: int, cap: int, uniforms: Uniforms) -> None:
        """Start a sequence after `prompt` tokens, with nothing drawn."""
        self.length[seq], self._cap[seq], self._drawn[seq], self._fed[seq] = prompt, cap, 0, 0
        self._chunks[seq], self._uniforms[seq] = [], uniforms

    def end(self, seq: int) -> None:
        """Forget a sequence."""
        del self._chunks[seq], self._uniforms[seq]

    def clear(self) -> None:
        """Forget all sequences."""
        self._chunks.clear()
        self._uniforms.clear()

    def next_uniforms(self, seqs: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the number that each sequence's next token is drawn by."""
        drawn_n = self._drawn[seqs]
        at_n = drawn_n % CHUNK
        for seq in seqs[at_n == 0].tolist():
            self._ahead[seq] = self._uniforms[seq].chunk(int(self._drawn[seq]) // CHUNK)
        return self._ahead[seqs, at_n]

    def push(self, seqs: NDArray[np.int64], tokens_n: NDArray[np.int64]) -> None:
        """Append the tokens that were drawn."""
        self.last[seqs] = tokens_n
        self.length[seqs] += 1
        self._drawn[seqs] += 1

    def done(self, seqs: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which sequences end with their last token."""
        return self.stopped(seqs) | (self.length[seqs] >= self._cap[seqs])

    def stopped(self, seqs: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which sequences' last token is an end of sequence."""
        return np.asarray(self._ends[self.last[seqs]])

    def record(self, seqs: NDArray[np.int64], counts: StepCounts) -> None:
        """Note a step that fed each sequence its last token, before another is drawn."""
        at_n = self._fed[seqs] % CHUNK
        for seq in seqs[(at_n == 0) & (self._fed[seqs] > 0)].tolist():
            self._chunks[seq].append((self._ints[:, seq].copy(), self._seconds[seq].copy()))
        self._ints[:4, seqs, at_n] = self.last[seqs], counts.reads, counts.live, counts.blocks
        self._ints[4, seqs, at_n] = len(seqs)
        self._fed[seqs] += 1

    def clock(self, seqs: NDArray[np.int64], seconds: float) -> None:
        """Note the seconds that each sequence's last step took."""
        self._seconds[seqs, (self._fed[seqs] - 1) % CHUNK] = seconds

    def steps(self, seq: int) -> Steps:
        """Return all steps of a sequence."""
        fed = int(self._fed[seq])
        rest = fed - CHUNK * len(self._chunks[seq])
        ints = [*(ints for ints, _ in self._chunks[seq]), self._ints[:, seq, :rest]]
        seconds = [*(seconds for _, seconds in self._chunks[seq]), self._seconds[seq, :rest]]
        tokens, reads, live, blocks, threads = np.concatenate(ints, axis=1)
        return Steps(tokens, reads, live, blocks, threads, np.concatenate(seconds))
