"""Quest, one layer of one sequence: every query head masks the pages that it does not choose."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tests.reference import cache_vanilla
from tests.reference.cache_vanilla import Array, mix, weights


class Reference(cache_vanilla.Reference):
    """Holds everything; a decode step attends the newest page and the best others of each query head."""

    def decode(self, q_hd: Array, k_kd: Array, v_kd: Array, *extra: Array) -> Array:
        """One more token."""
        self.store(k_kd, v_kd)
        assert self.budget is not None
        size = self.settings.page_size
        pages = [np.arange(start, min(start + size, len(self.k_skd))) for start in range(0, len(self.k_skd), size)]
        most = max(1, self.budget // size)
        if self.layer < self.settings.dense_layers or len(pages) <= most:
            return self.attend(q_hd)
        out, read = [], [set[int]() for _ in range(self.kv_heads)]
        for h, q_d in enumerate(q_hd):
            kv_head = h // self.group
            chosen = self.choose(q_d, [self.k_skd[page, kv_head] for page in pages[:-1]], most - 1)
            seen_s: NDArray[np.bool_] = np.zeros(len(self.k_skd), np.bool_)
            for page in [*(pages[i] for i in chosen), pages[-1]]:
                seen_s[page] = True
            read[kv_head] |= set(np.flatnonzero(seen_s).tolist())
            w_1s = weights(q_d[None], self.k_skd[:, [kv_head]], seen_s[:, None], 1)
            out.append(mix(w_1s, self.v_skd[:, [kv_head]], 1)[0])
        scored = len(pages) - 1 if self.settings.count_metadata_reads and most > 1 else 0
        self.attended = [len(tokens) + scored for tokens in read]
        return np.stack(out)

    def choose(self, q_d: Array, keys: list[Array], count: int) -> list[int]:
        """The pages with the highest bound on a score; of equal ones the first."""
        scores = [float(np.maximum(q_d * k_td.min(axis=0), q_d * k_td.max(axis=0)).sum()) for k_td in keys]
        order = sorted(range(len(keys)), key=lambda page: (-scores[page], page))
        if count:
            gap = scores[order[count - 1]] - scores[order[count]]
            self.margin = min(self.margin, gap / max(abs(score) for score in scores))
        return order[:count]
