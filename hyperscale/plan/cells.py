"""Choose the batches and contexts at which a run's decode steps are measured, the most needed first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

DECODE: Literal["decode"] = "decode"
PREFILL: Literal["prefill"] = "prefill"
LEAST = 8
"""Smallest context measured, in tokens: a few steps lead up to it."""


class Cell(NamedTuple):
    """Steps of `batch` threads that attend `context` tokens, or the prefill of one prompt of them."""

    kind: Literal["decode", "prefill"]
    batch: int
    context: int


def contexts(shortest: int, lengths: Iterable[int]) -> list[int]:
    """Return the powers of two from the one below `shortest` tokens on, up to the largest of `lengths`, and these."""
    lengths = sorted(lengths)
    first = max(LEAST, 1 << (max(shortest, 1).bit_length() - 1))
    powers = (1 << power for power in range(lengths[-1].bit_length()))
    return sorted({power for power in powers if first <= power <= lengths[-1]} | {x for x in lengths if x >= first})


def batches(most: int) -> list[int]:
    """Return 1, 8, 32, 128, ... below `most`, and `most` itself; none for 0."""
    steps = [1, 8]
    while steps[-1] < most:
        steps.append(4 * steps[-1])
    return sorted({*(batch for batch in steps if batch < most), *([most] if most else [])})


def decode_cells(contexts: list[int], most: Callable[[int], int]) -> tuple[list[Cell], list[Cell]]:
    """Return the cells that a surface cannot do without, and all others, the most needed first.

    `most(context)`: threads that memory holds. Needed are the least and greatest batch at the first and last context:
    a step's time is near to linear in both. Then come the contexts between, halving the widest gap each time, and last
    the batches between, each at all contexts.
    """
    of_context = {context: batches(most(context)) for context in contexts}
    of_context = {context: found for context, found in of_context.items() if found}
    order = _halving(sorted(of_context))
    ends = [Cell(DECODE, batch, context) for context in order for batch in sorted({1, of_context[context][-1]})]
    needed = [cell for cell in ends if cell.context in order[:2]]
    between = sorted({batch for found in of_context.values() for batch in found[1:-1]}, key=lambda x: (x != 32, x))
    others = [
        Cell(DECODE, batch, context) for batch in between for context in order if batch in of_context[context][1:-1]
    ]
    return needed, [cell for cell in ends if cell not in needed] + others


def prefill_cells(shortest: int, longest: int) -> tuple[list[Cell], list[Cell]]:
    """Return the prefills of the first and last of the prompts' lengths, and those between, by powers of two."""
    order = _halving(contexts(shortest, [longest]))
    cells = [Cell(PREFILL, 1, tokens) for tokens in order]
    return cells[:2], cells[2:]


def _halving(ascending: list[int]) -> list[int]:
    """Order: the ends, then always the middle of the widest stretch that is left."""
    if len(ascending) < 3:
        return ascending[::-1]
    order, stretches = [ascending[-1], ascending[0]], [(0, len(ascending) - 1)]
    while stretches:
        stretches.sort(key=lambda stretch: stretch[0] - stretch[1])
        low, high = stretches.pop(0)
        if high - low > 1:
            middle = (low + high) // 2
            order.append(ascending[middle])
            stretches += [(low, middle), (middle, high)]
    return order
