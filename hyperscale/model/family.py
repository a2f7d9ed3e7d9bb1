"""A model and what retrofits made of it, as one --model: each backend runs the checkpoint that was trained for it.

A folder with family.json is one. Paths in it count from the folder; `original` may also be a hub id.

    {"original": ".", "members": [{"backend": "dms", "ratio": 4, "checkpoint": "dms-cr-4"}]}
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, Field, ValidationError

FAMILY = "family.json"

_SHIPPED = Path(__file__).parent / "tiny"
EMBEDDED = {"tiny": _SHIPPED, "tiny-immediate": _SHIPPED / "immediate"}
"""Families that come with the package, by the name that --model takes."""


class Family(NamedTuple):
    """What a family.json says, its paths resolved."""

    original: str
    """What backends without gates run, and what the members were made of: a checkpoint folder, file or hub id."""
    revision: str | None
    members: dict[tuple[str, float], str]
    """Folder of the checkpoint for (backend, ratio)."""

    def ratios(self, backend: str) -> tuple[float, ...]:
        """The ratios that a backend has a checkpoint for, ascending."""
        return tuple(sorted(ratio for name, ratio in self.members if name == backend))


class _Member(BaseModel, frozen=True, extra="forbid"):
    backend: str
    ratio: float = Field(gt=1)
    checkpoint: str


class _Declared(BaseModel, frozen=True, extra="forbid"):
    original: str
    revision: str | None = None
    members: tuple[_Member, ...]


def local_path(model: str) -> Path:
    """Where a model lies if it is no hub id: a folder or file, or that of an embedded family."""
    return EMBEDDED.get(model) or Path(model).expanduser()


def family_of(model: str) -> Family | None:
    """The family of a name or folder; None where it is no family. ValueError if its family.json is not valid."""
    folder = local_path(model)
    path = folder / FAMILY
    if not path.is_file():
        return None
    try:
        declared = _Declared.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"{path}: {place or 'file'}: {first['msg']}") from None
    beside = folder / declared.original
    return Family(
        str(beside) if beside.exists() else declared.original,
        declared.revision,
        {(member.backend, member.ratio): str(folder / member.checkpoint) for member in declared.members},
    )


def write_family(folder: Path, original: str, revision: str | None, members: dict[tuple[str, float], str]) -> None:
    """Make a folder a family of the members that lie in it."""
    from hyperscale.storage.files import replacing

    fields: dict[str, Any] = {"original": original, "revision": revision, "members": [
        {"backend": backend, "ratio": ratio, "checkpoint": name} for (backend, ratio), name in members.items()
    ]}  # fmt: skip
    with replacing(folder / FAMILY) as aside:
        aside.write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")


def checkpoint_of(model: str, backend: str, ratio: float | None) -> str:
    """What `load_model` is given for a backend's run at a ratio: a member where the family has one, else the model."""
    family = family_of(model)
    if family is None or ratio is None:
        return model
    return family.members.get((backend, ratio), model)
