"""The contract of a KV-cache backend.

A backend is a policy over rows (rule 1 of docs/architecture.md): `rows.py` stores, the backend decides what is
kept, overwritten and read, `attention/` computes, `meter.py` counts. To add a backend:

1. write `hyperscale/backends/<name>.py` with a subclass of `Backend` and a frozen dataclass of its settings;
2. add its line to `hyperscale/backends/__init__.py`, its masked reference as `tests/reference/cache_<name>.py` and
   a case to `tests/backends/test_contract.py`;
3. run `tests/backends` and `tests/engines/test_backends.py`, which take every registered backend up.

How a step goes: for each layer the engine calls `decode` with the new token's q, k, v of every running
sequence. The policy puts the token into a place of each row (its end, or a slot whose token it gives up), attends,
and remembers what the next step must know. A sequence lives in a slot of the rows: `begin` opens it, `fork` copies
it; what a policy remembers of a sequence it keeps by slot and handles there too (a slot that is given back is begun
or forked into anew).

A budget B (tokens a row) is the most that a row ever holds, the newest token included, and so the most that a query
attends: a token that is given up after step t lies in its slot until the token of step t + 1 overwrites it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hyperscale.attention.base import DecodeAttention
from hyperscale.attention.dense import causal_attention
from hyperscale.kvcache.block_table import PAGE_SIZE, Rows, pages_for
from hyperscale.kvcache.meter import Meter
from hyperscale.model.gate_spec import GateSpec


@dataclass(frozen=True)
class NoSettings:
    """A policy without hyper-parameters."""


@dataclass(frozen=True)
class Parts:
    """What an engine hands to a policy."""

    rows: Rows
    meter: Meter
    attention: DecodeAttention
    budget: int | None = None
    """B in tokens a row, for a policy that is bound to one."""
    gates: GateSpec | None = None
    """The checkpoint's gates, if it has any."""


class Backend(ABC):
    """One policy, bound to the rows of an engine. Batches are flat: n sequences, one new token each."""

    name: ClassVar[str]
    frees: ClassVar[str]
    """What the policy gives back or saves, in words."""
    knows_length: ClassVar[bool] = False
    """Whether the policy is bound to a budget B = L / CR. If not, a chain cut at L is what a cap of L gives."""
    overwrites: ClassVar[bool] = True
    """Whether tokens are ever put over older ones, which gives a thread copies of the pages that it shares."""
    gated: ClassVar[bool] = False
    """Whether `prefill` and `decode` take what the checkpoint's gates decide, as tensors that follow v."""
    Settings: ClassVar[type] = NoSettings
    """Frozen dataclass of the hyper-parameters; its defaults are the paper's."""
    page_overhead: ClassVar[int] = 0
    """What the policy keeps beside every page of the pool, in KV tokens' worth of memory: part of a page's bytes."""
    whole_prompt: ClassVar[bool] = False
    """Whether `prefill` must see the prompt in one piece."""

    def __init__(self, parts: Parts, settings: Any = None) -> None:
        self.rows, self.meter, self.attention = parts.rows, parts.meter, parts.attention
        self.settings = self.Settings() if settings is None else settings
        assert self.knows_length == (parts.budget is not None)
        self.budget = parts.budget
        self.check_budget(parts.budget, self.settings)

    def begin(self, slot: int, key: int) -> None:  # noqa: B027 - most policies remember nothing
        """A new, empty sequence. `key` is a number of its own (64 bits), the same in every run of the sweep."""

    def fork(self, source: int, slot: int, key: int) -> None:  # noqa: B027
        """`slot` goes on from where `source` stands (the rows are forked already); copy what is kept by slot."""

    def dense_prompt(self, prompt: int) -> int:
        """How many of a prompt's tokens are prefilled densely; the engine feeds the others one by one to `decode`."""
        return prompt

    @abstractmethod
    def prefill(self, layer: int, slot: int, q_thd: Tensor, k_tkd: Tensor, v_tkd: Tensor) -> Tensor:
        """Attend the next t prompt tokens of a sequence causally and store what the policy keeps. Returns out_thd."""

    @abstractmethod
    def decode(self, layer: int, slots: NDArray[np.int64], q_nhd: Tensor, k_nkd: Tensor, v_nkd: Tensor) -> Tensor:
        """Attend one new token of each sequence, store and evict by the policy, tell the meter. Returns out_nhd."""

    @classmethod  # noqa: B027
    def check_budget(cls, budget: int | None, settings: Any) -> None:
        """ValueError if the policy cannot work with this budget."""

    @classmethod  # noqa: B027
    def check_prompt(cls, prompt: int, budget: int | None, settings: Any) -> None:
        """ValueError if a prompt of so many tokens cannot be held."""

    @classmethod  # noqa: B027
    def check_gates(cls, gates: GateSpec | None) -> None:
        """ValueError if the policy needs gates that the checkpoint does not have."""

    @classmethod
    def row_tokens(cls, length_cap: int, budget: int | None) -> int:
        """Most KV tokens that one row of a sequence can hold."""
        return length_cap if budget is None else min(length_cap, budget)

    @classmethod
    def expectation(cls, gates: GateSpec | None, settings: Any) -> Callable[[int], int] | None:
        """KV tokens that a row is expected to hold of so many, on average; None where `row_tokens` is certain."""
        return None

    @classmethod
    def prompt_pages(cls, prompt: int, budget: int | None) -> int:
        """Most pages of one row of a prefilled prompt."""
        return pages_for(cls.row_tokens(prompt, budget))

    @classmethod
    def thread_pages(cls, prompt: int, length_cap: int, budget: int | None) -> int:
        """Most pages that one row of a thread can hold beside those it shares with its prompt: admission's bound."""
        most = pages_for(cls.row_tokens(length_cap, budget))
        return most if cls.overwrites else most - prompt // PAGE_SIZE

    def attend(self, layer: int, slots: NDArray[np.int64], q_nhd: Tensor) -> Tensor:
        """Attend everything that the rows hold, and count it."""
        self.meter.attended(slots, self.rows.lengths[layer, slots])
        return self.attention(layer, slots, q_nhd)

    def attend_weighed(self, layer: int, slots: NDArray[np.int64], q_nhd: Tensor) -> tuple[Tensor, NDArray[np.float32]]:
        """As `attend`, with mass_nkt: attention on each slot of each row, summed over the heads of its group."""
        self.meter.attended(slots, self.rows.lengths[layer, slots])
        return self.attention.weighed(layer, slots, q_nhd)


def dense_prefill(
    rows: Rows, layer: int, slot: int, q_thd: Tensor, k_tkd: Tensor, v_tkd: Tensor
) -> tuple[Tensor, Tensor]:
    """Keep every token of a piece of prompt, and attend densely to all s so far. Returns out_thd, k_skd."""
    before = int(rows.lengths[layer, slot, 0])
    rows.extend(layer, slot, k_tkd, v_tkd)
    if before:
        k_tkd, v_tkd = rows.gather_all(layer, slot)
    return causal_attention(q_thd, k_tkd, v_tkd), k_tkd
