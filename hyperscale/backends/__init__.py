"""The registry of KV-cache backends: one line each."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from hyperscale.text import unknown

if TYPE_CHECKING:
    from hyperscale.backends.base import Backend

# Named, not imported: the command line lists backends without waiting for torch.
_REGISTRY = {
    "vanilla": "hyperscale.backends.vanilla:Vanilla",
    "tova": "hyperscale.backends.tova:Tova",
    "h2o": "hyperscale.backends.h2o:H2O",
    "random": "hyperscale.backends.random:Random",
    "quest": "hyperscale.backends.quest:Quest",
    "dms": "hyperscale.backends.dms:DMS",
    "dmc": "hyperscale.backends.dmc:DMC",
}


def backend_names() -> list[str]:
    """List the names of all backends, as --backends takes them."""
    return list(_REGISTRY)


def backend_class(name: str) -> type[Backend]:
    """Import the backend of this name; ValueError suggests a similar name."""
    if name not in _REGISTRY:
        raise ValueError(unknown("backend", name, _REGISTRY))
    module, _, attribute = _REGISTRY[name].partition(":")
    return cast("type[Backend]", getattr(import_module(module), attribute))
