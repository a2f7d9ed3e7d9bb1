"""Engines that hold the model themselves, by the name that --engine takes; `torch`, which all backends share, is ours.

An installed package adds one through the entry-point group `hyperscale.engines`; a file's class is asked for as
`PATH.py:CLASS`. Its contract is `engines.base.ServedEngine`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from hyperscale.plugins import Registry

if TYPE_CHECKING:
    from hyperscale.engines.base import ServedEngine

_NEEDED = ("check", "identity", "generate", "cache_shape", "ceiling")


def _accept(found: object) -> type[ServedEngine]:
    lacking = [name for name in _NEEDED if not hasattr(found, name)]
    if not isinstance(found, type) or lacking:
        raise ValueError(f"expected a class with {', '.join(_NEEDED)} (engines.base.ServedEngine)")
    return cast("type[ServedEngine]", found)


TORCH = "torch"
ENGINES: Registry[type[ServedEngine]] = Registry(
    kind="engine",
    builtins={
        "vllm": "hyperscale.engines.vllm.engine:VllmEngine",
        "openai": "hyperscale.engines.openai.engine:OpenaiEngine",
    },
    group="hyperscale.engines",
    accept=_accept,
)


def engine_names() -> list[str]:
    """List all engines, as --engine takes them; imports none of them."""
    return [TORCH, *(name for name in ENGINES.names() if name != TORCH)]
