"""When what is asked for: the ratio rises linearly with the steps, after the borrowed neurons have faded."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """Steps count from 1: `fade_steps` in which a borrowed component leaves attention, then the ramp.

    The ramp's step t asks for CR(t) = 1 + t / steps_per_cr, that is for a share alpha*(t) = 1 - 1 / CR(t) given up. A
    phase at constant CR does not follow: the paper found it of negligible use (App. C).
    """

    target: float
    steps_per_cr: int
    fade_steps: int = 0

    @property
    def steps(self) -> int:
        """Steps in all."""
        return self.step_of(self.target)

    def step_of(self, ratio: float) -> int:
        """The step after which a checkpoint of this ratio is due."""
        return self.fade_steps + round((ratio - 1) * self.steps_per_cr)

    def ratio(self, step: int) -> float:
        """CR that a step asks for; 1 while the neurons fade."""
        return 1 + max(0, step - self.fade_steps) / self.steps_per_cr

    def share(self, step: int) -> float:
        """alpha*: share of the tokens that a step asks to give up."""
        return 1 - 1 / self.ratio(step)

    def kept(self, step: int) -> float:
        """What a borrowed component still counts in attention, from 1 down to 0 (App. C: q (1 - t / n_t))."""
        return max(0.0, 1 - step / self.fade_steps) if self.fade_steps else 0.0
