"""Peak memory of W threads that run in lockstep: the most that they hold together after any one step."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from math import comb
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_MOST_CELLS = 1 << 19
"""Subsets x steps that are summed at once: 4 MiB, which stay in a cache."""


class Trace(NamedTuple):
    """Holdings of one thread, all layers and KV heads: an entry a decode step, and one a page of its prompt."""

    live_n: NDArray[np.int64]
    """KV tokens held after each step."""
    pages_n: NDArray[np.int64]
    """Pages held after each step by the thread alone."""
    shared_p: NDArray[np.int64]
    """Steps after which the prompt's threads still held each page of the prompt together."""


class Peaks(NamedTuple):
    """Mean over subsets of the most that W threads held together, for each of e cuts."""

    tokens_e: NDArray[np.float64]
    pages_e: NDArray[np.float64]


def subset_seed(seed: int, task: str, problem_id: str) -> int:
    """Derive the seed of a problem's random subsets: the same for every backend and L, which keeps them paired."""
    name = f"{seed}\0{task}\0{problem_id}".encode()
    return int.from_bytes(hashlib.blake2b(name, digest_size=4).digest(), "big")


def expected_union(sharers_p: NDArray[np.int64], pool: int, width: int) -> float:
    """Expect, over W-subsets, the pages that one or more of W threads share; `sharers_p[page]` of the pool share it."""
    counts = np.bincount(sharers_p, minlength=pool + 1)
    return sum(int(counts[n]) * (1 - comb(pool - n, width) / comb(pool, width)) for n in range(1, pool + 1))


def lockstep_peaks(threads: Sequence[Trace], members_sw: NDArray[np.int64], cuts_e: Sequence[int]) -> Peaks:
    """Average the peaks of subsets of threads of one problem, each cut after `cuts_e` steps (at least 1).

    The threads of a subset begin together and take each step together. One that has ended holds nothing. After a step
    they hold their own pages, and once each page of the prompt that a running one of them still shares.
    `members_sw[s]` are the indices of the W threads of subset s.
    """
    steps = max(len(thread.live_n) for thread in threads)
    ends_e = np.minimum(np.asarray(cuts_e, np.int64), steps)
    last = int(ends_e.max())
    live_tn, pages_tn = (_padded([getattr(thread, name) for thread in threads], last) for name in ("live_n", "pages_n"))
    shared_tp = np.minimum(np.stack([thread.shared_p for thread in threads]), last)
    none_tp = np.zeros((len(threads), 0), np.int64)
    return Peaks(
        _mean_peaks(live_tn, none_tp, members_sw, ends_e), _mean_peaks(pages_tn, shared_tp, members_sw, ends_e)
    )


def _mean_peaks(
    held_tn: NDArray[np.float64], shared_tp: NDArray[np.int64], members_sw: NDArray[np.int64], ends_e: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Average over subsets the most that is held up to step `ends_e`: a thread's own, and what some of them share."""
    # A step after which no thread holds less and nothing ceases to be shared is no peak of any subset.
    kept_n = np.zeros(held_tn.shape[1], bool)
    kept_n[:-1] = (np.diff(held_tn, axis=1) < 0).any(axis=0)
    kept_n[shared_tp[shared_tp > 0] - 1] = True
    kept_n[ends_e - 1] = True
    steps_k = np.flatnonzero(kept_n) + 1
    held_tk = held_tn[:, kept_n]
    until_tp = np.searchsorted(steps_k, shared_tp, side="right")
    # Most pages of a prompt are alike: each kind is followed once.
    until_tq, count_q = np.unique(until_tp, axis=1, return_counts=True)
    # Segments from one end to the next; equal ends share one.
    ends_g, segment_e = np.unique(np.searchsorted(steps_k, ends_e) + 1, return_inverse=True)
    starts_g = np.concatenate([[0], ends_g[:-1]])
    total_e = np.zeros(len(ends_e))
    for members_bw in _blocks(members_sw, max(len(steps_k), members_sw.shape[1] * len(count_q))):
        chosen_bt = np.zeros((len(members_bw), len(held_tk)))
        np.put_along_axis(chosen_bt, members_bw, 1.0, axis=1)
        held_bk = chosen_bt @ held_tk
        if len(count_q):
            held_bk += _shared(until_tq[members_bw].max(axis=1), count_q, len(steps_k))
        most_bg = np.maximum.accumulate(np.maximum.reduceat(held_bk, starts_g, axis=1), axis=1)
        total_e += most_bg.sum(axis=0)[segment_e]
    return total_e / len(members_sw)


def _padded(rows: Sequence[NDArray[np.int64]], steps: int) -> NDArray[np.float64]:
    """Stack rows of up to `steps` entries, 0 behind their ends. Counts are below 2^53: floats hold them exactly."""
    found = np.zeros((len(rows), steps))
    for row, values in zip(found, rows, strict=True):
        row[: len(values)] = values[:steps]
    return found


def _blocks(members_sw: NDArray[np.int64], cells: int) -> Iterator[NDArray[np.int64]]:
    size = max(1, _MOST_CELLS // max(cells, 1))
    for start in range(0, len(members_sw), size):
        yield members_sw[start : start + size]


def _shared(until_bq: NDArray[np.int64], count_q: NDArray[np.int64], steps: int) -> NDArray[np.float64]:
    """Count, for each subset, the pages that it still shares at each of `steps` steps: until its `until_bq`-th."""
    b, q = until_bq.shape
    cell_bq = until_bq + (steps + 1) * np.arange(b)[:, None]
    counts_bq = np.broadcast_to(count_q.astype(np.float64), (b, q))
    ending = np.bincount(cell_bq.ravel(), counts_bq.ravel(), minlength=b * (steps + 1)).astype(np.float64, copy=False)
    shared: NDArray[np.float64] = np.cumsum(ending.reshape(b, steps + 1)[:, ::-1], axis=1)[:, ::-1][:, 1:]
    return shared
