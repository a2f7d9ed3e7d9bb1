"""Gains of equals: a pair's gain after its runs have exchanged their outcomes at random, problem by problem."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from hyperscale.analysis.pareto import Floats

_RUN = "compression_ratio"
_AT = ["width", "length"]


class Shuffled(NamedTuple):
    """Points of a pair after each of p permutations: permutations x points, by column of OUTCOMES."""

    backend: dict[str, Floats]
    baseline: dict[str, Floats]


def shuffled_points(
    backend: pd.DataFrame, baseline: pd.DataFrame, columns: list[str], permutations: int, seed: int
) -> Shuffled | None:
    """Permute, for each problem on its own, the labels of the runs of two backends, and average its points again.

    A run is a backend at one compression ratio. A run's outcomes of a problem, accuracy and costs at every (W, L), go
    together to another label, so that all labels are equals while each keeps as many points to choose from as it has.
    Only the (W, L) that all runs share take part. `backend` and `baseline` hold the outcomes of the same problems at
    every point. None where there are fewer than two problems or no shared (W, L).
    """
    # Drawn in one order of the runs, so that a gain and its reverse have opposite nulls.
    first, second = sorted((backend, baseline), key=lambda side: side["backend"].iloc[0])
    runs = [run for side in (first, second) for _, run in side.groupby(_RUN)]
    shared = set.intersection(*(set(zip(run["width"], run["length"], strict=True)) for run in runs)) if runs else set()
    problems = backend["problem_id"].nunique()
    if problems < 2 or not shared:
        return None
    wanted = pd.MultiIndex.from_tuples(sorted(shared))
    # Problem x run x (column, W, L), each run's cells in one order.
    values_nrq = np.stack([
        np.concatenate([
            run.pivot(index="problem_id", columns=_AT, values=column)[wanted].to_numpy(np.float64)
            for column in columns
        ], axis=1)
        for run in runs
    ], axis=1)  # fmt: skip
    n, r, q = values_nrq.shape
    rng = np.random.default_rng(seed)
    taken_pnr = rng.random((permutations, n, r)).argsort(axis=2)
    # One row a (permutation, label): which (problem, run) its mean is over.
    weight_prnr = np.zeros((permutations, r, n, r))
    np.put_along_axis(weight_prnr, taken_pnr.transpose(0, 2, 1)[..., None], 1 / n, axis=3)
    means_prq = (weight_prnr.reshape(permutations * r, n * r) @ values_nrq.reshape(n * r, q)).reshape(
        permutations, r, q
    )
    of_first = first[_RUN].nunique()
    one, other = (_by_column(side, columns) for side in (means_prq[:, :of_first], means_prq[:, of_first:]))
    return Shuffled(one, other) if first is backend else Shuffled(other, one)


def _by_column(means_prq: Floats, columns: list[str]) -> dict[str, Floats]:
    parts = np.split(means_prq, len(columns), axis=2)
    return {column: part.reshape(len(part), -1) for column, part in zip(columns, parts, strict=True)}
