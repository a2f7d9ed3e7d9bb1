"""Where runs run. An executor holds a loaded model and hands out engines; the sweep knows no more of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from hyperscale.engines.base import Engine
from hyperscale.grid import Run
from hyperscale.tasks import Problem


class Executor(Protocol):
    """A loaded model, ready to generate."""

    def identity(self) -> dict[str, Any]:
        """What the loaded model adds to the folder's identity, as JSON values.

        Its `answer_prefix` is the reasoning tag that the chat template itself puts before an answer, or "".
        """
        ...

    def run_identity(self, run: Run) -> dict[str, Any]:
        """What a checkpoint of the run's own, of a family, adds to that; {} for runs of the model itself."""
        ...

    def prompt_tokens(self, problem: Problem) -> tuple[int, ...]:
        """The problem's chat prompt, tokenized."""
        ...

    def text(self, tokens: Sequence[int]) -> tuple[str, list[int]]:
        """Generated tokens as text, special ones left out, and its length in characters after each token."""
        ...

    def engine(self, run: Run) -> Engine:
        """Engine for a run's backend and caps."""
        ...
