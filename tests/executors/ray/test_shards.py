"""A sweep split into shards loses no thread and doubles none, and a shard is named by what it asks for.

What a driver sees of it: parts count once, and none that a worker stored may be missing at its end.
"""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperscale.engines.base import Job
from hyperscale.executors.base import Assignment
from hyperscale.executors.ray import shards
from hyperscale.executors.ray.shards import Stored, TrackedShard, split, without
from hyperscale.plan.cost import shard_sizes as sizes
from hyperscale.plan.runs import make_run
from hyperscale.results.incoming import IncomingWriter
from hyperscale.tasks.task import Problem
from tests.results.rows import sample_row

RUN = make_run("vanilla", 1.0, None, (64, 32), ((1, 64), (2, 32)))


def assignment(threads: dict[int, set[int]], filled: dict[int, set[int]]) -> Assignment:
    problems = {
        f"p{i}": Problem("t", f"p{i}", "long prompt", None, "the answer", (1, 0))
        for i in threads.keys() | filled.keys()
    }
    jobs = tuple(Job("t", f"p{i}", (1, 2), dict.fromkeys(sorted(of), 64)) for i, of in threads.items() if of)
    gone = tuple((f"p{i}", thread + 100, 8, 9) for i, of in filled.items() for thread in sorted(of))
    return Assignment(RUN, "run", problems, jobs, gone, {"run_id": "run"})


problems = st.dictionaries(st.integers(0, 12), st.sets(st.integers(0, 3)))


@given(problems, problems, st.integers(1, 5))
def test_shards_are_a_partition(threads: dict[int, set[int]], filled: dict[int, set[int]], size: int) -> None:
    whole = assignment(threads, filled)
    shards = list(split(whole, size))
    asked = [thread for shard in shards for thread in sorted(shard.assignment.threads())]
    assert sorted(asked) == sorted(
        [(f"p{i}", t) for i, of in threads.items() for t in of]
        + [(f"p{i}", t + 100) for i, of in filled.items() for t in of]
    )
    lacking = {problem for problem, _ in asked}
    assert len(shards) == -(-len(lacking) // size)
    assert len({shard.name for shard in shards}) == len(shards)
    for shard in shards:
        assert 1 <= len(shard.assignment.problems) <= size
        assert {problem for problem, _ in shard.assignment.threads()} == set(shard.assignment.problems)


@given(problems, problems, st.data())
def test_what_is_done_is_not_asked_again(
    threads: dict[int, set[int]], filled: dict[int, set[int]], data: st.DataObject
) -> None:
    whole = assignment(threads, filled)
    everything = sorted(whole.threads())
    done = set(data.draw(st.lists(st.sampled_from(everything)))) if everything else set()
    assert without(whole, done).threads() == set(everything) - done


def test_a_name_tells_what_is_asked() -> None:
    whole = assignment({0: {0, 1}, 1: {0}}, {})
    [shard] = split(whole, 2)
    assert [again.name for again in split(whole, 2)] == [shard.name]
    longer = replace(whole, jobs=(replace(whole.jobs[0], length_caps={0: 128, 1: 64}), whole.jobs[1]))
    assert [other.name for other in split(longer, 2)] != [shard.name]
    assert shard.name.startswith("run-")


def test_no_prompt_and_no_gold_travels() -> None:
    [shard] = split(assignment({0: {0}}, {}), 2)
    carried = pickle.dumps(shard)
    assert b"long prompt" not in carried
    assert b"the answer" not in carried
    assert shard.assignment.problems["p0"].permutation == (1, 0)


def test_every_worker_gets_a_shard() -> None:
    assert sizes([30], [100], workers=8) == [4]
    assert sizes([30], [2], workers=8) == [2]
    assert sizes([3], [9], workers=64) == [1]
    assert sizes([500], [20], workers=1) == [20]
    assert sizes([500] * 8, [250] * 8, workers=8) == [250] * 8
    assert sizes([400, 40], [100, 20], workers=12) == [50, 10]
    assert sizes([400, 40], [100, 20], workers=6) == [100, 20]
    assert sizes([], [], workers=3) == []


@given(st.lists(st.tuples(st.integers(1, 600), st.integers(1, 300)), max_size=6), st.integers(1, 64))
def test_sizes_are_bounds_and_leave_nobody_idle(runs: list[tuple[int, int]], workers: int) -> None:
    found = sizes([count for count, _ in runs], [most for _, most in runs], workers)
    shards = [-(-count // size) for (count, _), size in zip(runs, found, strict=True)]
    assert all(1 <= size <= most for (_, most), size in zip(runs, found, strict=True))
    if len(runs) == 1 and shards[0] < workers:
        # One worker too few at most gets a shard of this size; one problem more a shard, and it were fewer still.
        assert -(-runs[0][0] // found[0]) <= workers
        assert found[0] == 1 or -(-runs[0][0] // (found[0] - 1)) > shards[0] or runs[0][0] // found[0] < workers


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
    monkeypatch.setattr(shards, "incoming_parts", lambda *_: [])
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
    monkeypatch.setattr(shards, "UNSEEN_SECONDS", -1.0)
    with pytest.raises(
        ValueError, match=r"^far stored samples in .* that are not seen here: --output-dir has to be one"
    ):
        shard.is_whole(tmp_path)
