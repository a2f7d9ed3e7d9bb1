"""Generators: endless problems, and a test set that no training sees. One line a generator."""

from hyperscale.tasks.generators.base import Example, Puzzle, Split, example, fixed_set, puzzle, split_of
from hyperscale.tasks.generators.countdown import Countdown
from hyperscale.tasks.generators.trace import Trace

GENERATORS: dict[str, type[Puzzle]] = {
    "countdown": Countdown,
    "trace": Trace,
}

__all__ = ["GENERATORS", "Example", "Puzzle", "Split", "example", "fixed_set", "puzzle", "split_of"]
