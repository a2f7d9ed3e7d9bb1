"""What a sweep's config must not ask for: names that are not known."""

from __future__ import annotations

from hyperscale.backends import backend_names
from hyperscale.config import SweepConfig
from hyperscale.plugins import unknown


def check_backends(config: SweepConfig) -> None:
    """Refuse --backends that are not known, and --cr without them or them without it, with a ValueError."""
    for name in config.backends:
        if name not in backend_names():
            raise ValueError(f"--backends: {unknown('backend', name, backend_names())}")
    if config.compression_ratios and config.backends == ("vanilla",):
        raise ValueError("--cr needs a backend that compresses: vanilla keeps every token (CR 1)")
    compressing = [name for name in config.backends if name != "vanilla"]
    if compressing and not config.compression_ratios:
        raise ValueError(f"--backends {', '.join(compressing)}: say how much to compress with --cr, such as --cr 4,8")
