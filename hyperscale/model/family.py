"""Families: a model and its retrofits as one --model; each backend runs the checkpoint trained for it.

A family is a folder with a family.json. Paths in it are relative to the folder; `original` may also be a hub id.

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
"""Families shipped with the package, by --model name."""


class Family(NamedTuple):
    """A family.json with its paths resolved."""

    original: str
    """Checkpoint folder, file or hub id that backends without gates run and that the members were trained from."""
    revision: str | None
    members: dict[tuple[str, float], str]
    """Folder of the checkpoint for (backend, ratio)."""

    def ratios(self, backend: str) -> tuple[float, ...]:
        """Return the ratios with a checkpoint for a backend, ascending."""
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
    """Return a local model's path: a folder or file, or that of a shipped family."""
    return EMBEDDED.get(model) or Path(model).expanduser()


def family_of(model: str) -> Family | None:
    """Read the family of a name or folder; None if it is none, ValueError if its family.json is invalid."""
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
    """Write a folder's family.json; members are subfolders by (backend, ratio)."""
    from hyperscale.storage.files import replacing

    fields: dict[str, Any] = {"original": original, "revision": revision, "members": [
        {"backend": backend, "ratio": ratio, "checkpoint": name} for (backend, ratio), name in members.items()
    ]}  # fmt: skip
    with replacing(folder / FAMILY) as aside:
        aside.write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")


def checkpoint_of(model: str, backend: str, ratio: float | None) -> str:
    """Return the checkpoint for a backend at a ratio: the family's member if it has one, else the model itself."""
    family = family_of(model)
    if family is None or ratio is None:
        return model
    return family.members.get((backend, ratio), model)
