"""The contract of a KV-cache backend.

A backend is a policy over the block table (rule 1 of docs/architecture.md): `kvcache/block_table.py` stores, the
backend decides what is kept, overwritten and read, `attention/` computes, `kvcache/meter.py` counts. To add a backend:

1. write `hyperscale/backends/<name>.py` with a subclass of `Backend` (of `Bounded`, with `score` alone, if it
   only scores tokens) and a frozen dataclass of its settings;
2. add its line to `hyperscale/backends/__init__.py`, its masked reference as `tests/reference/cache_<name>.py` and
   a line to `tests/backends/test_contract.py` (a plugin calls `hyperscale.testing.check_backend` instead);
3. run `tests/backends` and `tests/engines/torch/test_backends.py`, which cover every registered backend.

A step: for each layer the engine calls `decode` with the new token's q, k, v of every running sequence. The policy puts
the token into a place of each row (its end, or the place of an evicted token), attends, and records what the next step
needs. `seq` is a sequence's index in the block table: `begin` opens it, `fork` copies it. A policy keeps its own state
by `seq`, too; an index that was closed is used again by a later `begin` or `fork`.

A budget B (tokens a row) is the most that a row ever holds, the newest token included, and so the most that a query
attends: a token evicted after step t stays in its place until the token of step t + 1 overwrites it.
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
from hyperscale.attention.prompt import causal_attention
from hyperscale.kvcache.block_pool import BLOCK_SIZE, blocks_for
from hyperscale.kvcache.block_table import BlockTable
from hyperscale.kvcache.meter import Meter
from hyperscale.model.spec import GateSpec


@dataclass(frozen=True)
class NoSettings:
    """Settings of a policy without hyper-parameters."""


@dataclass(frozen=True)
class PolicyContext:
    """The engine's side of a policy: storage, counts, attention, and the limits of this run."""

    table: BlockTable
    meter: Meter
    attention: DecodeAttention
    budget: int | None = None
    """B in tokens a row, for a policy that is bound to one."""
    gates: GateSpec | None = None
    """The checkpoint's gates, if it has any."""


class Backend(ABC):
    """One policy, bound to the block table of an engine. Batches are flat: n sequences, one new token each."""

    name: ClassVar[str]
    frees: ClassVar[str]
    """What the policy frees or saves, in words."""
    knows_length: ClassVar[bool] = False
    """Whether the policy is bound to a budget B = L / CR. If not, a chain cut at L equals a chain capped at L."""
    overwrites: ClassVar[bool] = True
    """Whether tokens are ever put over older ones, so that a thread copies blocks that it shares (copy-on-write)."""
    gated: ClassVar[bool] = False
    """Whether `prefill` and `decode` take the decisions of the checkpoint's gates, as tensors that follow v."""
    Settings: ClassVar[type] = NoSettings
    """Frozen dataclass of the hyper-parameters; its defaults are the paper's."""
    block_overhead: ClassVar[int] = 0
    """Memory that the policy keeps beside every block of the pool, in KV tokens' worth: part of a block's bytes."""
    whole_prompt: ClassVar[bool] = False
    """Whether `prefill` must get the prompt in one piece."""

    def __init__(self, context: PolicyContext, settings: Any = None) -> None:
        self.table, self.meter, self.attention = context.table, context.meter, context.attention
        self.settings = self.Settings() if settings is None else settings
        assert self.knows_length == (context.budget is not None)
        self.budget = context.budget
        self.check_budget(context.budget, self.settings)

    def begin(self, seq: int, key: int) -> None:  # noqa: B027 - most policies keep no state
        """Start a new, empty sequence. `key` is its own 64-bit number, the same in every run of the sweep."""

    def fork(self, source: int, seq: int, key: int) -> None:  # noqa: B027
        """Copy the policy's state of `source` to `seq`, which goes on from there (the rows are forked already)."""

    def dense_prompt(self, prompt: int) -> int:
        """Count the prompt tokens that are prefilled densely; the engine feeds the others one by one to `decode`."""
        return prompt

    def row_range(self, tokens: int) -> tuple[int, int]:
        """Bound, from below and above, the KV tokens that a row can hold after `tokens` tokens, 1 or more."""
        most = self.row_tokens(tokens, self.budget)
        return most, most

    def assume(self, seqs: NDArray[np.int64], tokens: int) -> None:
        """Take on the state after `tokens` tokens, for sequences that begun and whose rows were given their tokens.

        For measurements of a step (engines/torch/fill.py), which would else prefill every context: what the rows hold
        is random, their lengths lie within `row_range`. A policy without this hook is given a real prompt.
        """
        raise NotImplementedError(f"{type(self).__name__} has no assume")

    @abstractmethod
    def prefill(self, layer: int, seq: int, q_thd: Tensor, k_tkd: Tensor, v_tkd: Tensor) -> Tensor:
        """Attend the next t prompt tokens of a sequence causally and store what the policy keeps. Returns out_thd."""

    @abstractmethod
    def decode(self, layer: int, seqs: NDArray[np.int64], q_nhd: Tensor, k_nkd: Tensor, v_nkd: Tensor) -> Tensor:
        """Attend one new token of each sequence, store and evict by the policy, tell the meter. Returns out_nhd."""

    @classmethod  # noqa: B027
    def check_budget(cls, budget: int | None, settings: Any) -> None:
        """Raise ValueError if the policy cannot work with this budget."""

    @classmethod  # noqa: B027
    def check_prompt(cls, prompt: int, budget: int | None, settings: Any) -> None:
        """Raise ValueError if a prompt of so many tokens cannot be held."""

    @classmethod  # noqa: B027
    def check_gates(cls, gates: GateSpec | None) -> None:
        """Raise ValueError if the policy needs gates that the checkpoint does not have."""

    @classmethod
    def row_tokens(cls, length_cap: int, budget: int | None) -> int:
        """Bound the KV tokens that one row of a sequence can hold."""
        return length_cap if budget is None else min(length_cap, budget)

    @classmethod
    def expectation(cls, gates: GateSpec | None, settings: Any) -> Callable[[int], int] | None:
        """Map a sequence's tokens to the KV tokens expected in a row, on average; None where `row_tokens` is exact."""
        return None

    @classmethod
    def prompt_blocks(cls, prompt: int, budget: int | None) -> int:
        """Bound the blocks of one row of a prefilled prompt."""
        return blocks_for(cls.row_tokens(prompt, budget))

    @classmethod
    def thread_blocks(cls, prompt: int, length_cap: int, budget: int | None) -> int:
        """Bound the blocks that one row of a thread can hold beside those it shares with its prompt."""
        most = blocks_for(cls.row_tokens(length_cap, budget))
        return most if cls.overwrites else most - prompt // BLOCK_SIZE

    def attend(self, layer: int, seqs: NDArray[np.int64], q_nhd: Tensor) -> Tensor:
        """Attend all that the rows hold, and count it."""
        self.meter.attended(seqs, self.table.lengths[layer, seqs])
        return self.attention(layer, seqs, q_nhd)

    def attend_weighed(self, layer: int, seqs: NDArray[np.int64], q_nhd: Tensor) -> tuple[Tensor, NDArray[np.float32]]:
        """Attend as `attend` does, and return mass_nkt: attention on each place, summed over the heads of a group."""
        self.meter.attended(seqs, self.table.lengths[layer, seqs])
        return self.attention.weighed(layer, seqs, q_nhd)


def dense_prefill(
    table: BlockTable, layer: int, seq: int, q_thd: Tensor, k_tkd: Tensor, v_tkd: Tensor
) -> tuple[Tensor, Tensor]:
    """Keep every token of a piece of prompt, and attend densely to all s so far. Returns out_thd, k_skd."""
    before = int(table.lengths[layer, seq, 0])
    table.extend(layer, seq, k_tkd, v_tkd)
    if before:
        k_tkd, v_tkd = table.gather_all(layer, seq)
    return causal_attention(q_thd, k_tkd, v_tkd), k_tkd
