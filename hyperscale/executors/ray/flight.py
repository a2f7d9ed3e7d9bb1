"""A shard that a cluster works on, and which of its parts its driver has seen."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hyperscale.executors.ray.shards import Shard
from hyperscale.executors.ray.worker import Stored
from hyperscale.results.incoming import incoming_part, incoming_parts
from hyperscale.storage.files import is_local

UNSEEN_SECONDS = 120.0
"""After which a part that a worker stored, and that is still not seen here, is taken for stored elsewhere."""


@dataclass(eq=False)
class Flight:
    """A shard that Ray has, or had."""

    shard: Shard
    seen: set[Path] = field(default_factory=set)
    """Parts of it that were found."""
    _stored: Stored | None = None
    _since: float = 0.0

    def end(self, stored: Stored) -> None:
        """Its worker has done it, and says what makes it up."""
        self._stored, self._since = stored, time.monotonic()

    def new(self, folder: Path) -> Iterator[Path]:
        """Parts in a results folder that were not seen before."""
        parts = incoming_parts(folder, self.shard.name)
        if self._stored is not None and is_local(folder):
            # A shared file system may show files in their folder's listing half a minute late.
            named = (incoming_part(folder, self.shard.name, part) for part in self._stored.parts)
            parts = sorted({*parts, *(part for part in named if part.is_file())})
        for part in parts:
            if part not in self.seen:
                self.seen.add(part)
                yield part

    def is_whole(self, folder: Path) -> bool:
        """Whether all that its worker stored was seen. ValueError where it still was not after a while."""
        assert self._stored is not None
        lacking = set(self._stored.parts) - {part.name for part in self.seen}
        if lacking and time.monotonic() - self._since > UNSEEN_SECONDS:
            raise ValueError(
                f"{self._stored.host} stored samples in {folder} that are not seen here: --output-dir has to be one "
                "folder that every node of the cluster and this machine see, or a URL such as s3://bucket/sweep"
            )
        return not lacking
