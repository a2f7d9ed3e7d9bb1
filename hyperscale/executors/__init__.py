"""The executors, by what a config asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hyperscale.config import SweepConfig
    from hyperscale.executors.local import LocalExecutor
    from hyperscale.executors.ray.driver import RayExecutor
    from hyperscale.executors.served import ServedExecutor


def executor_class(config: SweepConfig) -> type[LocalExecutor | ServedExecutor | RayExecutor]:
    """Executor of a sweep; each is made of the plan, and has a static `check(plan, needed=...)`.

    Imported only where it is asked for: ray and vLLM are optional.
    """
    if config.executor == "ray":
        from hyperscale.executors.ray.driver import RayExecutor

        return RayExecutor
    return in_process_class(config)


def in_process_class(config: SweepConfig) -> type[LocalExecutor | ServedExecutor]:
    """What generates in one process: the sweep's own, or a worker's."""
    if config.engine == "torch":
        from hyperscale.executors.local import LocalExecutor

        return LocalExecutor
    from hyperscale.executors.served import ServedExecutor

    return ServedExecutor
