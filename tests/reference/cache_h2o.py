"""H2O: per KV head, of the tokens before the recent window the one that was attended least so far goes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tests.reference.cache_bounded import Bounded


class Reference(Bounded):
    """One layer of one sequence."""

    total_ks: NDArray[np.float64] | None = None

    def attended_to(self, w_kgs: NDArray[np.float64]) -> None:
        """Attention adds up, as the mean over the query heads of a group."""
        mean_ks = w_kgs.mean(axis=1)
        if self.total_ks is not None:
            mean_ks[:, : self.total_ks.shape[1]] += self.total_ks
        self.total_ks = mean_ks

    def recent(self) -> int:
        """Half of the budget, unless the settings say otherwise."""
        assert self.budget is not None
        heavy = self.budget // 2
        return self.budget - heavy if self.settings.recent_window == -1 else self.settings.recent_window

    def victim(self, head: int) -> int:
        """The lightest token."""
        assert self.total_ks is not None
        return self.least(head, self.total_ks[head])
