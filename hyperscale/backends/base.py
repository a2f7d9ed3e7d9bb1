"""The contract of a KV-cache backend.

A backend is a policy over rows (rule 1 of docs/architecture.md): `rows.py` stores, the backend decides what is
appended, overwritten and read, `attention/` computes, `meter.py` counts. To add a backend:

1. write `hyperscale/backends/<name>.py` with a subclass of `Backend`;
2. add its line to `hyperscale/backends/__init__.py`;
3. run `tests/backends`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hyperscale.attention.base import DecodeAttention
from hyperscale.backends.meter import Meter
from hyperscale.backends.rows import Rows


class Backend(ABC):
    """One policy, bound to the rows of an engine. Batches are flat: n sequences, one new token each."""

    name: ClassVar[str]
    frees: ClassVar[str]
    """What the policy gives back or saves, in words."""
    knows_length: ClassVar[bool] = False
    """Whether the policy depends on the cap L. If not, a chain cut at L is the chain that a cap of L gives."""

    def __init__(self, rows: Rows, meter: Meter, attention: DecodeAttention) -> None:
        self.rows, self.meter, self.attention = rows, meter, attention

    @abstractmethod
    def prefill(self, layer: int, slot: int, q_thd: Tensor, k_tkd: Tensor, v_tkd: Tensor) -> Tensor:
        """Attend the next t prompt tokens of a sequence causally and store what the policy keeps. Returns out_thd."""

    @abstractmethod
    def decode(self, layer: int, slots: NDArray[np.int64], q_nhd: Tensor, k_nkd: Tensor, v_nkd: Tensor) -> Tensor:
        """Attend one new token of each sequence, store and evict by the policy, tell the meter. Returns out_nhd."""

    @staticmethod
    @abstractmethod
    def thread_pages(prompt: int, length_cap: int) -> int:
        """Most pages that one row of a thread can hold beside those it shares with its prompt: admission's bound."""
