"""What a driver sees of a shard: parts count once, and none that a worker stored may be missing at its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from hyperscale.executors.ray import tracked
from hyperscale.executors.ray.shards import split
from hyperscale.executors.ray.tracked import TrackedShard
from hyperscale.executors.ray.worker import Stored
from hyperscale.results.incoming import IncomingWriter
from tests.executors.ray.test_shards import assignment
from tests.results.rows import sample_row


@pytest.fixture
def shard(tmp_path: Path) -> TrackedShard:
    [only] = split(assignment({0: {0, 1}}, {}), 5)
    return TrackedShard(only)


def store(folder: Path, shard: TrackedShard, thread: int) -> Path:
    return IncomingWriter(folder, shard.shard.name).append([sample_row("p0", thread)])


def test_parts_are_new_once(tmp_path: Path, shard: TrackedShard) -> None:
    first = store(tmp_path, shard, 0)
    assert list(shard.new(tmp_path)) == [first]
    second = store(tmp_path, shard, 1)
    shard.end(Stored((first.name, second.name)))
    assert not shard.is_whole(tmp_path)
    assert list(shard.new(tmp_path)) == [second]
    assert list(shard.new(tmp_path)) == []
    assert shard.is_whole(tmp_path)


def test_a_part_that_a_listing_does_not_show_yet_is_found(
    tmp_path: Path, shard: TrackedShard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on NFS, which keeps what a folder held for half a minute."""
    monkeypatch.setattr(tracked, "incoming_parts", lambda *_: [])
    part = store(tmp_path, shard, 0)
    assert list(shard.new(tmp_path)) == []
    shard.end(Stored((part.name,)))
    assert list(shard.new(tmp_path)) == [part]
    assert shard.is_whole(tmp_path)


def test_a_folder_that_nodes_do_not_share_is_told(
    tmp_path: Path, shard: TrackedShard, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard.end(Stored(("0-0.parquet",), host="far"))
    assert list(shard.new(tmp_path)) == []
    assert not shard.is_whole(tmp_path)
    monkeypatch.setattr(tracked, "UNSEEN_SECONDS", -1.0)
    with pytest.raises(
        ValueError, match=r"^far stored samples in .* that are not seen here: --output-dir has to be one"
    ):
        shard.is_whole(tmp_path)
