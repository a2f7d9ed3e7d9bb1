"""A submitted shard, with those of its parts that the driver has seen."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hyperscale.executors.ray.shards import Shard
from hyperscale.executors.ray.worker import Stored
from hyperscale.results.incoming import incoming_part, incoming_parts
from hyperscale.storage.remote import is_local

UNSEEN_SECONDS = 120.0
"""Seconds after which a stored part that is not seen here counts as stored in another folder."""


@dataclass(eq=False)
class TrackedShard:
    """A shard on its way through Ray."""

    shard: Shard
    seen: set[Path] = field(default_factory=set)
    """Parts found so far."""
    _stored: Stored | None = None
    _since: float = 0.0

    def end(self, stored: Stored) -> None:
        """Note that its worker has finished, and the parts that it stored."""
        self._stored, self._since = stored, time.monotonic()

    def new(self, folder: Path) -> Iterator[Path]:
        """Yield its parts in a results folder that were not seen before."""
        parts = incoming_parts(folder, self.shard.name)
        if self._stored is not None and is_local(folder):
            # A shared file system may list new files half a minute late.
            named = (incoming_part(folder, self.shard.name, part) for part in self._stored.parts)
            parts = sorted({*parts, *(part for part in named if part.is_file())})
        for part in parts:
            if part not in self.seen:
                self.seen.add(part)
                yield part

    def is_whole(self, folder: Path) -> bool:
        """Return whether all its stored parts were seen. ValueError where some are missing after UNSEEN_SECONDS."""
        assert self._stored is not None
        lacking = set(self._stored.parts) - {part.name for part in self.seen}
        if lacking and time.monotonic() - self._since > UNSEEN_SECONDS:
            raise ValueError(
                f"{self._stored.host} stored samples in {folder} that are not seen here: --output-dir has to be one "
                "folder that every node of the cluster and this machine see, or a URL such as s3://bucket/sweep"
            )
        return not lacking
