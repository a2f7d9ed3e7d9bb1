"""Schedule of the ratio: a linear ramp, after borrowed neurons have faded."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """Steps from 1: `fade_steps` that fade borrowed components out of attention, then the ramp.

    Step t of the ramp targets CR(t) = 1 + t / steps_per_cr, that is alpha*(t) = 1 - 1 / CR(t). No phase at constant CR
    follows: the paper found its benefit negligible (App. C).
    """

    target: float
    steps_per_cr: int
    fade_steps: int = 0

    @property
    def steps(self) -> int:
        """Steps in all."""
        return self.step_of(self.target)

    def step_of(self, ratio: float) -> int:
        """Return the step after which a checkpoint of this ratio is due."""
        return self.fade_steps + round((ratio - 1) * self.steps_per_cr)

    def ratio(self, step: int) -> float:
        """Return the target CR of a step; 1 while neurons fade."""
        return 1 + max(0, step - self.fade_steps) / self.steps_per_cr

    def share(self, step: int) -> float:
        """Return alpha*, the share of tokens to evict or merge at a step."""
        return 1 - 1 / self.ratio(step)

    def kept(self, step: int) -> float:
        """Return the share of a borrowed component in attention, from 1 down to 0 (App. C: q (1 - t / n_t))."""
        return max(0.0, 1 - step / self.fade_steps) if self.fade_steps else 0.0
