"""KV-cache backends by name: the built-in ones, one line each, and those of plugins.

An installed package adds one through the entry-point group `hyperscale.backends`; a file's class is asked for as
`PATH.py:CLASS`.
"""

from __future__ import annotations

import re
from dataclasses import MISSING, fields, is_dataclass
from typing import TYPE_CHECKING

from hyperscale.plugins import Origin, Registry, is_file_reference

if TYPE_CHECKING:
    from hyperscale.backends.base import Backend


def _accept(found: object) -> type[Backend]:
    from hyperscale.backends.base import Backend

    if not (isinstance(found, type) and issubclass(found, Backend)):
        raise ValueError("expected a subclass of hyperscale.backends.base.Backend")
    if not isinstance(getattr(found, "name", None), str) or not isinstance(getattr(found, "frees", None), str):
        raise ValueError(f"{found.__name__} has no `name` or no `frees`, both strings")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", found.name):
        raise ValueError(f"{found.__name__}.name is {found.name!r}: use letters, digits, - and _")
    if lacking := sorted(getattr(found, "__abstractmethods__", ())):
        raise ValueError(f"{found.__name__} lacks {' and '.join(lacking)}")
    kind = found.Settings
    if not is_dataclass(kind) or any(x.default is x.default_factory is MISSING for x in fields(kind)):
        raise ValueError(f"{found.__name__}.Settings must be a frozen dataclass, each field with a default")
    if found.name in BACKENDS.builtins:
        raise ValueError(f"{found.__name__}.name is {found.name!r}, which is a built-in backend: choose another name")
    return found


# Named, not imported: the command line lists backends without waiting for torch.
BACKENDS: Registry[type[Backend]] = Registry(
    kind="backend",
    builtins={
        "vanilla": "hyperscale.backends.vanilla:Vanilla",
        "tova": "hyperscale.backends.tova:Tova",
        "h2o": "hyperscale.backends.h2o:H2O",
        "random": "hyperscale.backends.random:Random",
        "quest": "hyperscale.backends.quest:Quest",
        "dms": "hyperscale.backends.dms:DMS",
        "dmc": "hyperscale.backends.dmc:DMC",
    },
    group="hyperscale.backends",
    accept=_accept,
)


def backend_names() -> list[str]:
    """List all backends, as --backends takes them; imports none of them."""
    return BACKENDS.names()


def backend_class(name: str) -> type[Backend]:
    """Import the backend of a name or PATH.py:CLASS; ValueError names the one that was perhaps meant.

    An entry point bears the name of its class: tables and --backend-option have that one.
    """
    policy = BACKENDS.load(name)
    if policy.name != name and not is_file_reference(name):
        raise ValueError(f"backend {name!r}: its class is named {policy.name!r}; give the entry point that name")
    return policy


def backend_origin(name: str) -> Origin | None:
    """Say where a plugin's backend comes from; None of a built-in one."""
    return BACKENDS.origin(name)
