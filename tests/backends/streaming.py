"""StreamingLLM as a user would write it, with no compiled code."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hyperscale.backends.bounded import Bounded, Protection


@dataclass(frozen=True)
class StreamingSettings(Protection):
    """Settings: four attention sinks by default, as in the paper."""

    sink_tokens: int = 4


class StreamingLLM(Bounded):
    """Keep the first `sink_tokens` and the most recent tokens (Xiao et al., 2024), at their own positions."""

    name = "streaming"
    frees = "memory and reads: every row holds at most B tokens"
    Settings = StreamingSettings

    def score(
        self, layer: int, seqs: NDArray[np.int64], mass_nkt: NDArray[np.float32], positions_nkt: NDArray[np.int32]
    ) -> NDArray[np.int32]:
        """Score by position: the oldest token that is no sink goes."""
        return positions_nkt
