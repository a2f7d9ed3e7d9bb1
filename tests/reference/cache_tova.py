"""TOVA: the token that the last query attends least, over all heads of the layer, goes from every KV head."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tests.reference.cache_bounded import Bounded


class Reference(Bounded):
    """One layer of one sequence."""

    last_s: NDArray[np.float64]

    def attended_to(self, w_kgs: NDArray[np.float64]) -> None:
        """The last query replaces those before it."""
        self.last_s = w_kgs.sum(axis=(0, 1))

    def victim(self, head: int) -> int:
        """One set: every head comes to the same."""
        return self.least(head, self.last_s)
