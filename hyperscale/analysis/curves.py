"""Gains of many pairs of frontiers at once: the mean distance of two curves over their common budgets."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hyperscale.analysis.pareto import Floats, sort_points

Scale = Literal["linear", "log2"]
SCALES: tuple[Scale, ...] = ("linear", "log2")
Interpolation = Literal["step", "linear"]
INTERPOLATIONS: tuple[Interpolation, ...] = ("step", "linear")


class Reading(NamedTuple):
    """One reading of the gain: how a frontier goes on between its points, and how the budget is integrated."""

    interpolation: Interpolation
    scale: Scale


READINGS = tuple(Reading(interpolation, scale) for interpolation in INTERPOLATIONS for scale in SCALES)


class PairGains(NamedTuple):
    """Gains of r pairs, the ends of their common budgets and how far these extend; NaN where there are none."""

    value_r: Floats
    low_r: Floats
    high_r: Floats
    span_r: Floats
    """From `low_r` to `high_r` in the scale: doublings for log2."""


def pair_gains(
    costs_ra: Floats,
    accuracies_ra: Floats,
    costs_rb: Floats,
    accuracies_rb: Floats,
    reading: Reading,
    maximise_cost: bool,
    within: tuple[float, float] | None = None,
) -> PairGains:
    """Compute the gain of a over b for r independent pairs of point sets, as `gain.gain` defines it.

    `within` gives the budgets to integrate over, for all pairs alike: from where both frontiers have begun, and on
    beyond a frontier's last point at its accuracy there, as more budget takes none away.
    """
    scale, maximise = reading.scale, maximise_cost
    x_ra, y_ra = _curves(costs_ra, accuracies_ra, scale, maximise)
    x_rb, y_rb = _curves(costs_rb, accuracies_rb, scale, maximise)
    start_r = np.maximum(_ends(x_ra)[0], _ends(x_rb)[0])
    end_r = np.minimum(_ends(x_ra)[1], _ends(x_rb)[1])
    if within is not None:
        first, last = sorted(_to_scale(np.asarray(within, np.float64), scale, maximise))
        start_r, end_r = np.maximum(start_r, first), np.where(np.isfinite(end_r), last, end_r)

    # The corners of both and the ends of I split I into pieces where A - B is straight.
    x_rm = np.concatenate([x_ra, x_rb, start_r[:, None], end_r[:, None]], axis=1)
    order_rm = np.argsort(x_rm, axis=1, kind="stable")
    x_rm = np.take_along_axis(x_rm, order_rm, axis=1)
    y_rm = np.take_along_axis(np.concatenate([y_ra, y_rb, np.full((len(y_ra), 2), np.nan)], axis=1), order_rm, axis=1)
    a, b = x_ra.shape[1], x_rb.shape[1]
    real_rm = np.isfinite(x_rm)
    curves = ((order_rm < a) & real_rm, (order_rm >= a) & (order_rm < a + b) & real_rm)
    inside_rm = real_rm & (x_rm >= start_r[:, None]) & (x_rm <= end_r[:, None])
    # Places that coincide bound no piece: there, one curve may not have begun in this order.
    piece_rm = inside_rm[:, 1:] & inside_rm[:, :-1] & (x_rm[:, 1:] > x_rm[:, :-1])
    with np.errstate(invalid="ignore", divide="ignore"):
        if reading.interpolation == "step":
            over_a, over_b = (_step(y_rm, corner_rm)[:, :-1] for corner_rm in curves)
            mean_rm = over_a - over_b
        else:
            over_a, over_b = (_interpolate(x_rm, y_rm, corner_rm) for corner_rm in curves)
            mean_rm = ((over_a - over_b)[:, 1:] + (over_a - over_b)[:, :-1]) / 2
        value_r = np.where(piece_rm, np.diff(x_rm, axis=1) * mean_rm, 0.0).sum(axis=1) / (end_r - start_r)
        defined_r = end_r > start_r
        span_r = np.where(defined_r, end_r - start_r, np.nan)
    ends = [np.where(defined_r, _from_scale(x_r, scale, maximise), np.nan) for x_r in (start_r, end_r)]
    low_r, high_r = ends[::-1] if maximise else ends
    return PairGains(np.where(defined_r, value_r, np.nan), low_r, high_r, span_r)


def _curves(costs_rp: Floats, accuracies_rp: Floats, scale: Scale, maximise_cost: bool) -> tuple[Floats, Floats]:
    """Return the corners of each set's frontier, in the budget's scale and ascending; points off it are at inf."""
    if costs_rp.shape != accuracies_rp.shape or costs_rp.ndim != 2:
        raise ValueError("a gain needs one accuracy for each cost")
    if scale not in SCALES:
        raise ValueError(f"unknown budget scale {scale!r}: choose from {', '.join(SCALES)}")
    if scale == "log2" and (costs_rp <= 0).any():
        raise ValueError("a log2 budget needs costs above 0: leave the point out or use the linear scale")
    scaled_rp = _to_scale(costs_rp, scale, maximise_cost)
    found = sort_points(scaled_rp, accuracies_rp)
    x_rp = np.take_along_axis(scaled_rp, found.order_rp, axis=1)
    y_rp = np.take_along_axis(accuracies_rp, found.order_rp, axis=1)
    return np.where(found.optimal_rp, x_rp, np.inf), np.where(found.optimal_rp, y_rp, np.nan)


def _step(y_rm: Floats, corner_rm: NDArray[np.bool_]) -> Floats:
    """Return the accuracy of the last corner up to each place; NaN before the first."""
    left_rm = np.maximum.accumulate(np.where(corner_rm, np.arange(y_rm.shape[1]), -1), axis=1)
    return np.where(left_rm < 0, np.nan, np.take_along_axis(y_rm, left_rm.clip(0), axis=1))


def _interpolate(x_rm: Floats, y_rm: Floats, corner_rm: NDArray[np.bool_]) -> Floats:
    """Evaluate the polyline through the corners at each x; beyond its ends, take the end's value."""
    m = x_rm.shape[1]
    index_m = np.arange(m)
    left_rm = np.maximum.accumulate(np.where(corner_rm, index_m, -1), axis=1)
    right_rm = np.minimum.accumulate(np.where(corner_rm, index_m, m)[:, ::-1], axis=1)[:, ::-1]
    left_rm, right_rm = np.where(left_rm < 0, right_rm, left_rm), np.where(right_rm == m, left_rm, right_rm)
    left_rm, right_rm = left_rm.clip(0, m - 1), right_rm.clip(0, m - 1)
    x_left, x_right = (np.take_along_axis(x_rm, at, axis=1) for at in (left_rm, right_rm))
    y_left, y_right = (np.take_along_axis(y_rm, at, axis=1) for at in (left_rm, right_rm))
    with np.errstate(invalid="ignore", divide="ignore"):
        share_rm = np.where(x_right > x_left, (x_rm - x_left) / (x_right - x_left), 0.0)
        # This form is exact at both ends, so that a curve is at no distance from itself.
        return (1 - share_rm) * y_left + share_rm * y_right


def _ends(x_rp: Floats) -> tuple[Floats, Floats]:
    finite_rp = np.isfinite(x_rp)
    return (
        np.where(finite_rp, x_rp, np.inf).min(axis=1, initial=np.inf),
        np.where(finite_rp, x_rp, -np.inf).max(axis=1, initial=-np.inf),
    )


def _to_scale(costs: Floats, scale: Scale, maximise_cost: bool) -> Floats:
    """Turn costs to the axis that is integrated: in its scale, and negative where more is better."""
    scaled = np.log2(costs) if scale == "log2" else costs
    return -scaled if maximise_cost else scaled


def _from_scale(x_r: Floats, scale: Scale, maximise_cost: bool) -> Floats:
    cost_r = -x_r if maximise_cost else x_r
    return np.exp2(cost_r) if scale == "log2" else cost_r
