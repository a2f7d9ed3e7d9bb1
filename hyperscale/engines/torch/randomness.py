"""Counter-based random numbers: a thread's n-th draw depends on its identity, never on its neighbours."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

_CHUNK = 1024


def sequence_key(seed: int, task: str, problem_id: str, thread: int | None) -> int:
    """Hash a sequence, a thread or (None) its prompt, to 64 bits, for backends that draw numbers of their own."""
    identity = "\x1f".join((str(seed), task, problem_id, "prompt" if thread is None else str(thread), "cache"))
    return int.from_bytes(blake2b(identity.encode(), digest_size=8).digest(), "little")


class Uniforms:
    """The uniform numbers in [0, 1) of one thread: `at(step)` is a pure function of the identity and the step.

    Philox keyed by a hash of (seed, task, problem id, thread), its counter advanced to the step.
    """

    def __init__(self, seed: int, task: str, problem_id: str, thread: int) -> None:
        identity = "\x1f".join((str(seed), task, problem_id, str(thread)))
        self._key = np.frombuffer(blake2b(identity.encode(), digest_size=16).digest(), np.uint64)
        self._number = -1
        self._chunk: NDArray[np.float64] = np.empty(0)

    def at(self, step: int) -> float:
        """Return the number of this step (step 0 draws the first generated token)."""
        number, offset = divmod(step, _CHUNK)
        if number != self._number:
            # The counter's upper half names the chunk, so that chunks never overlap.
            philox = np.random.Philox(key=self._key, counter=np.array([0, 0, number, 0], np.uint64))
            self._number, self._chunk = number, np.random.Generator(philox).random(_CHUNK)
        return float(self._chunk[offset])
