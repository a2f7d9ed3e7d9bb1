"""Folders of several seeds as one experiment."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pandas as pd
import pytest

from hyperscale.analysis.gain import gains
from hyperscale.analysis.pareto import frontiers
from hyperscale.analysis.pooled import planned, pool
from hyperscale.results.store import Store
from tests.fakes import END, fake_config, full_chain, run_fake, write_task

PROMPT = 6


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    place = tmp_path_factory.mktemp("pooled")
    task = write_task(place)
    for seed in (0, 1, 2):
        run_fake(fake_config(place / f"seed{seed}", task, seed=seed))
    return [place / f"seed{seed}" for seed in (0, 1, 2)]


def said(seed: int, problem: str, thread: int) -> int | None:
    """Answer of a chain cut at L = 32."""
    tokens = [token % 3 for token in full_chain(seed, "toy", problem, thread)[: 32 - PROMPT] if token != END]
    return tokens[-1] if tokens else None


def test_the_pool_is_the_union_of_the_folders_threads(folders: list[Path]) -> None:
    found = pool(folders)
    threads = [(seed, thread) for seed in (0, 1, 2) for thread in (0, 1)]
    for problem in range(6):
        rows = found.outcomes[(found.outcomes["problem_id"] == f"p{problem}") & (found.outcomes["length"] == 32)]
        [pair] = rows[rows["width"] == 2].to_dict("records")
        assert pair["pool"] == 6
        scores, reads = [], []
        for subset in combinations(threads, 2):
            answers = [said(seed, f"p{problem}", thread) for seed, thread in subset]
            known = [answer for answer in answers if answer is not None]
            most = [answer for answer in set(known) if known.count(answer) == max(map(known.count, known))]
            scores.append((1 in most) / len(most) if most else 0)
            lengths = [len(full_chain(seed, "toy", f"p{problem}", t)[: 32 - PROMPT]) for seed, t in subset]
            reads.append(sum(PROMPT + step for length in lengths for step in range(1, length + 1)))
        assert pair["accuracy"] == pytest.approx(sum(scores) / 15)
        assert pair["kv_reads"] == pytest.approx(sum(reads) / 15)
    points = found.points.set_index(["width", "length"])
    assert points["draws"].to_dict() == {(1, 32): 6, (2, 32): 15, (4, 16): 495}
    assert points["samples"].to_dict() == {(1, 32): 36, (2, 32): 36, (4, 16): 72}
    assert points["complete"].all()
    assert len(frontiers(found.points))
    assert gains(found.outcomes).empty


def test_one_pool_of_width_one_is_the_mean_of_its_folders(folders: list[Path]) -> None:
    found = pool(folders[1:]).points.set_index(["width", "length"])
    single = [pd.read_parquet(folder / "points.parquet").set_index(["width", "length"]) for folder in folders[1:]]
    for name in ("accuracy", "kv_reads", "peak_tokens_sum", "mean_length", "truncated_share"):
        assert found[name][1, 32] == pytest.approx((single[0][name][1, 32] + single[1][name][1, 32]) / 2)


def test_what_is_not_one_experiment_is_refused_by_name(tmp_path: Path, folders: list[Path]) -> None:
    with pytest.raises(ValueError, match="two results folders or more"):
        pool(folders[:1])
    with pytest.raises(ValueError, match="are both of seed 0: their threads are the same draws"):
        pool([folders[0], folders[0]])
    task = write_task(tmp_path)
    run_fake(fake_config(tmp_path / "warm", task, seed=5, temperature=0.3))
    with pytest.raises(ValueError, match=r"differ in more than their seed: config\.temperature: .* -> 0\.3"):
        pool([folders[0], tmp_path / "warm"])
    run_fake(fake_config(tmp_path / "apart", task, seed=6, grid=((1, 24),)))
    with pytest.raises(ValueError, match="no outcome of a problem in common"):
        pool([folders[0], tmp_path / "apart"])
    with pytest.raises(ValueError, match=r"holds no manifest\.json"):
        pool([folders[0], tmp_path])


def test_threads_beyond_the_plan_are_left_out() -> None:
    samples = pd.DataFrame({"task": "t", "thread": [0, 1, 2, 3], "length_cap": [64, 64, 64, 32]})
    kept = planned(samples, {"t": {"pools": {"16": 3, "32": 2, "64": 1}}})
    assert dict(zip(kept["thread"], kept["length_cap"], strict=True)) == {0: 64, 1: 32, 2: 16}


def test_a_prompt_that_the_seed_changes_is_refused(folders: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """As a multiple-choice problem's, whose choices a seed orders."""
    read = Store.read

    def other(self: Store, table: str, columns: list[str] | None = None, **given: str) -> pd.DataFrame:
        frame = read(self, table, columns, **given)
        return frame.assign(permutation=self.folder.name) if table == "samples" else frame

    monkeypatch.setattr(Store, "read", other)
    with pytest.raises(ValueError, match=r"toy, problem p.: the seed changes its prompt"):
        pool(folders)
