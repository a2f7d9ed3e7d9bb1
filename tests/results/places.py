"""Where results lie in tests: a folder on disk, fsspec's memory, and an S3 server on this machine."""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from hyperscale.results.store import Store
from hyperscale.storage import remote
from hyperscale.storage.files import read
from hyperscale.storage.remote import is_local, to_place

BUCKET = "bucket"
NOBODY = 999_999_999
"""A process number that no system gives."""


def serve_s3() -> Iterator[str]:
    """An S3 server with a bucket; its address. What reaches it is in the environment, as it would be anywhere."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    with pytest.MonkeyPatch.context() as patched:
        for name, value in settings.items():
            patched.setenv(name, value)
        system = fsspec.filesystem("s3", use_listings_cache=False)
        system.mkdir(BUCKET)
        yield settings["AWS_ENDPOINT_URL"]
        system.clear_instance_cache()
    server.stop()


def new_place(kind: str, tmp_path: Path) -> Path:
    """A results folder of that kind that nobody used yet."""
    if kind == "local":
        return tmp_path / "results" / "x"
    root = {"memory": "memory://", "s3": f"s3://{BUCKET}/"}[kind]
    return to_place(f"{root}{secrets.token_hex(4)}/x")


def files(folder: Path) -> list[str]:
    """Every file in it, by its path within, but for locks."""
    if is_local(folder):
        names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    else:
        names = remote.walked(folder)
    return [name for name in names if not name.startswith(".lock")]


def parts(folder: Path, table: str = "samples") -> list[Path]:
    return [folder / name for name in files(folder) if name.startswith(f"{table}/")]


def stored(folder: Path) -> dict[str, bytes]:
    return {name: read(folder / name) for name in files(folder)}


def download(folder: Path, target: Path) -> Path:
    """A copy on disk, as anyone would make one."""
    if is_local(folder):
        shutil.copytree(folder, target)
        return target
    for name, content in stored(folder).items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return target


def damage(path: Path) -> None:
    """Another last byte."""
    content = read(path)
    if is_local(path):
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    else:
        remote.put(path, content[:-1] + bytes([content[-1] ^ 1]))


def bury(folder: Path, **changes: object) -> None:
    """Let the process that holds a folder behind a URL be a dead one of this machine, or another as `changes` say."""
    for lock in remote.listed(folder / ".lock"):
        remote.put(lock, json.dumps(json.loads(remote.get(lock)) | {"pid": NOBODY} | changes).encode())


def abandon(store: Store) -> None:
    """Do to a store's lock what the death of its process would do."""
    if is_local(store.folder):
        store.close()
    else:
        bury(store.folder)


class Killed(BaseException):
    """The death of a process, as far as its own code can tell."""


def kill_at(patched: pytest.MonkeyPatch, folder: Path, count: int, deed: Callable[[], object] | None = None) -> None:
    """Die before changing a folder's storage the `count`-th time, and ever after; or do a deed there, and go on."""
    changes: list[int] = []

    def deadly(real: Callable[..., Any]) -> Callable[..., Any]:
        def changing(*arguments: Any, **more: Any) -> Any:
            changes.append(len(changes))
            if len(changes) - 1 == count and deed is not None:
                deed()
            elif len(changes) > count and deed is None:
                raise Killed
            return real(*arguments, **more)

        return changing

    if is_local(folder):
        for name in ("replace", "unlink", "fsync", "mkdir", "rmdir"):
            patched.setattr(os, name, deadly(getattr(os, name)))
        return
    delete_one = deadly(remote.delete)
    patched.setattr(remote, "put", deadly(remote.put))
    patched.setattr(remote, "copy", deadly(remote.copy))
    patched.setattr(remote, "delete", lambda paths: [delete_one([path]) for path in paths])
