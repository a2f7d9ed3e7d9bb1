"""manifest.json: the experiment of a results folder, and the hardware and versions that it ran on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hyperscale.results.schema import SCHEMA_VERSION
from hyperscale.storage.files import read, write

_VERSION = "schema_version"
_ABSENT = "(absent)"


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Write `manifest` (JSON types) and the schema version, atomically."""
    text = json.dumps({_VERSION: SCHEMA_VERSION, **manifest}, indent=2, ensure_ascii=False, allow_nan=False)
    write(folder / "manifest.json", f"{text}\n".encode())


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Read the manifest; None where the folder has none yet.

    ValueError where it cannot be read or is of another schema version.
    """
    path = folder / "manifest.json"
    try:
        content = read(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}): put that right") from error
    try:
        manifest = json.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON ({error}): restore it, or choose another --output-dir") from error
    version = manifest.get(_VERSION) if isinstance(manifest, dict) else None
    if type(version) is not int or version != SCHEMA_VERSION:
        raise ValueError(
            f"{folder} holds results of schema version {version}; this hyperscale reads version {SCHEMA_VERSION}: "
            "use the hyperscale that wrote it, or choose another --output-dir"
        )
    return {name: value for name, value in manifest.items() if name != _VERSION}


def check_identity(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Compare two identities; ValueError with a line `key: old -> new` for each difference.

    An identity is what must not change within a folder, as nested JSON. Key order, and tuple or list, do not matter.
    """
    lines = differences(old, new)
    if lines:
        raise ValueError(
            "the results folder holds a different experiment (old -> new):\n"
            + "\n".join(f"  {line}" for line in lines)
            + "\nchoose another --output-dir, or go back to the old settings"
        )


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """List the leaves in which two nested JSON objects differ: `key.key: old -> new`."""
    before, after = _flat(json.loads(json.dumps(old))), _flat(json.loads(json.dumps(new)))
    return [
        f"{'.'.join(key)}: {before.get(key, _ABSENT)} -> {after.get(key, _ABSENT)}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key, _ABSENT) != after.get(key, _ABSENT)
    ]


def _flat(value: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], str]:
    """Flatten nested dicts to {path of keys: JSON of the leaf}."""
    if not isinstance(value, dict) or not value:
        return {path: json.dumps(value, ensure_ascii=False)}
    leaves: dict[tuple[str, ...], str] = {}
    for key, child in value.items():
        leaves |= _flat(child, (*path, key))
    return leaves
