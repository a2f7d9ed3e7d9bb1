"""Choose the executor of a config."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hyperscale.config import SweepConfig
    from hyperscale.executors.local import LocalExecutor
    from hyperscale.executors.ray.driver import RayExecutor
    from hyperscale.executors.served import ServedExecutor


def executor_class(config: SweepConfig) -> type[LocalExecutor | ServedExecutor | RayExecutor]:
    """Import and return a sweep's executor class: made of the plan, with a static `check(plan, needed=...)`.

    No other is imported: Ray and vLLM are optional.
    """
    if config.executor == "ray":
        from hyperscale.executors.ray.driver import RayExecutor

        return RayExecutor
    return in_process_class(config)


def in_process_class(config: SweepConfig) -> type[LocalExecutor | ServedExecutor]:
    """Return the executor class that generates in one process: the sweep's own, or a worker's."""
    if config.engine == "torch":
        from hyperscale.executors.local import LocalExecutor

        return LocalExecutor
    from hyperscale.executors.served import ServedExecutor

    return ServedExecutor
