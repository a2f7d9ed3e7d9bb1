"""`--model` to local files: a hub id is downloaded, a folder or a .gguf file is used as it is, a family looked up.

A family is a model and its retrofits as one --model, each backend running the checkpoint trained for it: a folder with
a family.json. Paths in it are relative to the folder; `original` may also be a hub id.

    {"original": ".", "members": [{"backend": "dms", "ratio": 4, "checkpoint": "dms-cr-4"}]}
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, Field, ValidationError

FAMILY = "family.json"

_SHIPPED = Path(__file__).parent / "tiny"
EMBEDDED = {"tiny": _SHIPPED, "tiny-immediate": _SHIPPED / "immediate"}
"""Families shipped with the package, by --model name."""

_CONFIGS = ("config.json", "generation_config.json", "gates.json")
_TOKENIZER = (
    "tokenizer*",
    "chat_template*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab*",
    "merges.txt",
)
_WEIGHTS = ("model*.safetensors", "model.safetensors.index.json", "gates.safetensors")
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


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


class CheckpointFiles(NamedTuple):
    """A checkpoint on disk, a folder or .gguf file; `revision` is the hub's commit, None for local files."""

    path: Path
    revision: str | None
    hub_id: str | None = None
    """None for local files."""

    @property
    def is_gguf(self) -> bool:
        """Whether it is a GGUF file."""
        return self.path.suffix.lower() == ".gguf"


def find(model: str, revision: str | None, *, weights: bool, tokenizer: bool = False) -> CheckpointFiles:
    """Find a model's files, downloading a hub id's; of a family, those of its original.

    Without `weights` only the config is downloaded, with the tokenizer if `tokenizer`. Raise ValueError if there are
    no such files.
    """
    family = family_of(model)
    if family is not None:
        if revision is not None:
            raise ValueError(
                f"{model}: --revision {revision} applies to hub ids, not to a family of checkpoints; leave it out."
            )
        if Path(family.original) != local_path(model):
            return find(family.original, family.revision, weights=weights, tokenizer=tokenizer)
    local = local_path(model)
    if local.exists() or local.suffix.lower() == ".gguf":
        return CheckpointFiles(_checked(local, revision), None)
    if not _HUB_ID.fullmatch(model):
        raise ValueError(f"{model}: no such folder, and not a hub id (owner/name).")
    wanted = _CONFIGS + (_TOKENIZER if weights or tokenizer else ()) + (_WEIGHTS if weights else ())
    folder = _download(model, revision, wanted)
    return CheckpointFiles(folder, folder.name, model)


def _checked(local: Path, revision: str | None) -> Path:
    if revision is not None:
        raise ValueError(f"{local}: --revision {revision} applies to hub ids, not to a local path; leave it out.")
    if not local.exists():
        raise ValueError(f"{local}: no such file.")
    if local.is_file() and local.suffix.lower() != ".gguf":
        raise ValueError(
            f"{local}: a file, but not a .gguf file; --model takes a hub id, a checkpoint folder or a .gguf file."
        )
    if local.is_dir() and not (local / "config.json").is_file():
        hint = ""
        if any(local.glob("*.gguf")):
            hint = " It holds .gguf files: name the file itself."
        elif (local / "adapter_config.json").is_file():
            hint = " It holds an adapter: merge it into its base model first."
        raise ValueError(f"{local}: not a checkpoint folder: it has no config.json.{hint}")
    return local


def _download(model: str, revision: str | None, patterns: tuple[str, ...]) -> Path:
    from huggingface_hub import errors, snapshot_download

    named = model if revision is None else f"{model} (revision {revision})"
    try:
        folder = Path(snapshot_download(model, revision=revision, allow_patterns=list(patterns)))
    except errors.GatedRepoError:
        raise ValueError(f"{named}: gated on the hub. Accept its licence there, then set HF_TOKEN.") from None
    except errors.RevisionNotFoundError:
        raise ValueError(f"{named}: the hub has no such revision.") from None
    except errors.RepositoryNotFoundError:
        raise ValueError(
            f"{named}: neither a local folder nor a visible hub model. If it is private, set HF_TOKEN."
        ) from None
    except errors.HFValidationError as error:
        raise ValueError(f"{named}: not a hub id: {_first_line(error)}") from None
    except Exception as error:  # the HTTP client's exception types differ from version to version
        raise ValueError(
            f"{named}: no such local folder, and it cannot be fetched from the hub: {_first_line(error)}"
        ) from None
    if not (folder / "config.json").is_file():
        raise ValueError(f"{named}: not a transformers checkpoint: the repository has no config.json.")
    return folder


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
