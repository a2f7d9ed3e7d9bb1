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

THE_READING = Reading("step", "log2")
"""The one of figures and README: every accuracy of it was attained, and each doubling of the budget counts alike."""


class PairGains(NamedTuple):
    """Gains of r pairs, the ends of their common budgets and how far these extend; NaN where there are none."""

    value_r: Floats
    low_r: Floats
    high_r: Floats
    span_r: Floats
    """From `low_r` to `high_r` in the scale: doublings for log2."""


class Curves(NamedTuple):
    """Frontiers of r point sets as their corners: ascending, and behind the last one at inf and NaN.

    The axis is the cost, or its negative where more of it is better.
    """

    x_rc: Floats
    y_rc: Floats


def frontier_curves(costs_rp: Floats, accuracies_rp: Floats, maximise_cost: bool) -> Curves:
    """Reduce point sets to the corners of their frontiers. ValueError where the shapes differ."""
    if costs_rp.shape != accuracies_rp.shape or costs_rp.ndim != 2:
        raise ValueError("a gain needs one accuracy for each cost")
    signed_rp = -costs_rp if maximise_cost else costs_rp
    found = sort_points(signed_rp, accuracies_rp)
    # Corners first, still in order: most points are off the frontier, and need not be carried along.
    most = int(found.optimal_rp.sum(axis=1).max(initial=0))
    first_rc = np.argsort(~found.optimal_rp, axis=1, kind="stable")[:, :most]
    corner_rc = np.take_along_axis(found.optimal_rp, first_rc, axis=1)
    taken_rc = np.take_along_axis(found.order_rp, first_rc, axis=1)
    return Curves(
        np.where(corner_rc, np.take_along_axis(signed_rp, taken_rc, axis=1), np.inf),
        np.where(corner_rc, np.take_along_axis(accuracies_rp, taken_rc, axis=1), np.nan),
    )


def curve_gains(
    a: Curves, b: Curves, reading: Reading, maximise_cost: bool, within: tuple[float, float] | None = None
) -> PairGains:
    """Compute the gain of a over b for r independent pairs of frontiers, as `gain.gain` defines it.

    `within` gives the budgets to integrate over, for all pairs alike: from where both frontiers have begun, and on
    beyond a frontier's last point at its accuracy there, as more budget takes none away. ValueError on an unknown
    scale, and on costs that have no logarithm.
    """
    if reading.scale not in SCALES:
        raise ValueError(f"unknown budget scale {reading.scale!r}: choose from {', '.join(SCALES)}")
    sign = -1.0 if maximise_cost else 1.0
    x_ra, x_rb = (_to_scale(side.x_rc, reading.scale, sign) for side in (a, b))
    y_ra, y_rb = a.y_rc, b.y_rc
    start_r = np.maximum(_ends(x_ra)[0], _ends(x_rb)[0])
    end_r = np.minimum(_ends(x_ra)[1], _ends(x_rb)[1])
    if within is not None:
        first, last = sorted(_to_scale(sign * np.asarray(within, np.float64), reading.scale, sign))
        start_r, end_r = np.maximum(start_r, first), np.where(np.isfinite(end_r), last, end_r)

    # The corners of both and the ends of I split I into pieces where A - B is straight.
    x_rm = np.concatenate([x_ra, x_rb, start_r[:, None], end_r[:, None]], axis=1)
    order_rm = np.argsort(x_rm, axis=1, kind="stable")
    x_rm = np.take_along_axis(x_rm, order_rm, axis=1)
    y_rm = np.take_along_axis(np.concatenate([y_ra, y_rb, np.full((len(y_ra), 2), np.nan)], axis=1), order_rm, axis=1)
    of_a, of_both = x_ra.shape[1], x_ra.shape[1] + x_rb.shape[1]
    real_rm = np.isfinite(x_rm)
    corners = ((order_rm < of_a) & real_rm, (order_rm >= of_a) & (order_rm < of_both) & real_rm)
    inside_rm = real_rm & (x_rm >= start_r[:, None]) & (x_rm <= end_r[:, None])
    # Places that coincide bound no piece: there, one curve may not have begun in this order.
    piece_rm = inside_rm[:, 1:] & inside_rm[:, :-1] & (x_rm[:, 1:] > x_rm[:, :-1])
    with np.errstate(invalid="ignore", divide="ignore"):
        if reading.interpolation == "step":
            over_a, over_b = (_step(y_rm, corner_rm)[:, :-1] for corner_rm in corners)
            mean_rm = over_a - over_b
        else:
            over_a, over_b = (_interpolate(x_rm, y_rm, corner_rm) for corner_rm in corners)
            mean_rm = ((over_a - over_b)[:, 1:] + (over_a - over_b)[:, :-1]) / 2
        value_r = np.where(piece_rm, np.diff(x_rm, axis=1) * mean_rm, 0.0).sum(axis=1) / (end_r - start_r)
        defined_r = end_r > start_r
        span_r = np.where(defined_r, end_r - start_r, np.nan)
    ends = [np.where(defined_r, _from_scale(x_r, reading.scale, sign), np.nan) for x_r in (start_r, end_r)]
    low_r, high_r = ends[::-1] if maximise_cost else ends
    return PairGains(np.where(defined_r, value_r, np.nan), low_r, high_r, span_r)


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


def _to_scale(x: Floats, scale: Scale, sign: float) -> Floats:
    """Turn costs (or, with a negative `sign`, their negatives) to the axis that is integrated; ValueError as above."""
    if scale == "linear":
        return x
    if (sign * x <= 0).any() if sign > 0 else (np.isfinite(x) & (x >= 0)).any():
        raise ValueError("a log2 budget needs costs above 0: leave the point out or use the linear scale")
    real = np.isfinite(x)
    return np.where(real, sign * np.log2(np.where(real, sign * x, 1.0)), x)


def _from_scale(x_r: Floats, scale: Scale, sign: float) -> Floats:
    return np.exp2(sign * x_r) if scale == "log2" else sign * x_r
