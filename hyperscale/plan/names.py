"""Refuse unknown names in a config before anything heavy is imported."""

from __future__ import annotations

from hyperscale.backends import BACKENDS
from hyperscale.config import SweepConfig
from hyperscale.engines import ENGINES, engine_names
from hyperscale.plugins import unknown
from hyperscale.tasks.load import load_task


def check_names(config: SweepConfig) -> None:
    """Raise ValueError, naming the flag, for an unknown backend, engine or task, or a task that is not valid."""
    for source in config.backends:
        try:
            BACKENDS.check(source)
        except ValueError as error:
            raise ValueError(f"--backends: {error}") from None
    if config.engine not in engine_names():
        try:
            ENGINES.check(config.engine)
        except ValueError as error:
            told = str(error) if ".py" in config.engine else unknown("engine", config.engine, engine_names())
            raise ValueError(f"--engine: {told}") from None
    for task in config.tasks:
        load_task(task)
