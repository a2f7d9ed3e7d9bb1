from __future__ import annotations

from math import comb, isclose
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperscale.analysis.outcomes import SAMPLE_COLUMNS, outcomes
from hyperscale.results.rows import frame_to_arrow, rows_to_arrow
from hyperscale.results.schema import STEP_COLUMNS, STEP_THREADS, arrow_schema
from tests.reference import outcomes as reference
from tests.results.rows import grade_row, sample_row

Rows = list[dict[str, Any]]


def classes(task: str, answers: Any) -> list[int]:
    """Equal normal forms agree."""
    names = sorted({normal for _, normal in answers if normal is not None})
    return [-1 if normal is None else names.index(normal) for _, normal in answers]


def computed(samples: Rows, grades: Rows, grid: list[tuple[int, int]], aggregate: Any = "majority") -> pd.DataFrame:
    """Outcomes of rows that went through the stored form, as a sweep's do."""
    stored = rows_to_arrow("samples", samples).select(SAMPLE_COLUMNS).to_pandas()
    return outcomes(stored, rows_to_arrow("grades", grades).to_pandas(), grid, {"t": aggregate}, classes)


def graded(samples: Rows, lengths: list[int], **verdict: Any) -> Rows:
    return [grade_row(sample, at, **verdict) for sample in samples for at in lengths if at <= sample["length_cap"]]


@st.composite
def tables(draw: st.DrawFn, backend: str, engine: str) -> tuple[Rows, Rows]:
    """Threads of one problem with any traces, caps and grades."""
    prompt = draw(st.integers(1, 10))
    pages = draw(st.integers(0, 6))
    budget = None if backend == "vanilla" else draw(st.integers(1, 8))
    samples, grades = [], []
    for thread in range(draw(st.integers(1, 5))):
        cap = draw(st.sampled_from([8, 12, 16]))
        total = draw(st.integers(0, max(cap - prompt, 0)))
        stopped = total > 0 and (prompt + total < cap or draw(st.booleans()))
        if not stopped:
            total = max(cap - prompt, 0)
        counts = st.lists(st.integers(1, 50), min_size=total, max_size=total)
        steps = {name: np.array(draw(counts), dtype=np.int64) for name in STEP_COLUMNS}
        sample = sample_row(
            "p",
            thread,
            cap,
            prompt_tokens=prompt,
            generated_tokens=total,
            finish_reason="stop" if stopped else "length",
            backend=backend,
            engine=engine,
            cache_budget=budget,
            prefill_seconds=0.0 if engine == "vllm" else draw(st.floats(0, 2)),
            step_threads=np.array(draw(counts), dtype=np.int64) if draw(st.integers(0, 3)) else None,
            batch_threads=draw(st.floats(1, 8)),
            weight_bytes=draw(st.integers(0, 10**9)),
            device_bytes=draw(st.none() | st.integers(0, 10**12)),
            accounting=draw(st.sampled_from(["measured", "from_lengths", "from_text"])),
            peak_flops=draw(st.sampled_from([1e6, 1e9, 1e12] * 5 + [None])),
            **steps,
        )
        if total and budget is not None:
            # A policy that evicts holds no more than B after its first step, Quest the whole prompt.
            held = min(prompt + 1, budget) if backend in ("tova", "h2o", "random") else prompt + 1
            sample["step_live"][0] = sample["layers"] * sample["kv_heads"] * held
        # All threads of a problem were forked with the same pages.
        shared = st.lists(st.integers(0, total), min_size=pages, max_size=pages)
        sample["page_shared"] = np.array(draw(shared) if total else [], dtype=np.int64)
        samples.append(sample)
        for at in (8, 12, 16):
            if at <= cap and draw(st.integers(0, 9)):
                answer = draw(st.sampled_from(["a", "b", "c", None]))
                grades.append(grade_row(sample, at, answer, answer == "a"))
    return samples, grades


@pytest.mark.parametrize(
    ("backend", "engine"),
    [("vanilla", "torch"), ("vanilla", "vllm"), *((name, "torch") for name in ("tova", "h2o", "random", "quest"))],
)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_every_outcome_equals_the_one_written_from_the_definitions(
    backend: str, engine: str, data: st.DataObject
) -> None:
    samples, grades = data.draw(tables(backend, engine))
    grid = [(width, length) for width in (1, 2, 3, 5) for length in (8, 12, 16)]
    found = {(row["width"], row["length"]): row for row in computed(samples, grades, grid).to_dict("records")}
    answers = {(grade["thread"], grade["length"]): (grade["answer"], grade["correct"]) for grade in grades}
    for width, length in grid:
        expected = reference.outcome(samples, answers, width, length)
        if expected is None:
            assert (width, length) not in found
            continue
        row = found[width, length]
        for name, value in expected.items():
            assert isclose(row[name], value, rel_tol=1e-9, abs_tol=1e-12) or np.isnan([row[name], value]).all(), name
        pool = [s for s in samples if s["length_cap"] >= length and reference.usable(s, answers, length)]
        assert row["accounting"] == reference.least_exact(pool)
        assert row["engine"] == engine
    assert len(found) == sum(reference.outcome(samples, answers, w, at) is not None for w, at in grid)


@given(prompt=st.integers(1, 40), total=st.integers(1, 60), length=st.integers(41, 101))
@settings(max_examples=30, deadline=None)
def test_vanilla_reads_and_peak_equal_the_closed_form(prompt: int, total: int, length: int) -> None:
    samples = [sample_row("p", thread, 101, prompt_tokens=prompt, generated_tokens=total) for thread in range(4)]
    reached = min(prompt + total, length)
    frame = computed(samples, graded(samples, [length]), [(1, length), (3, length)])
    for row in frame.to_dict("records"):
        assert isclose(row["kv_reads"], row["width"] * sum(range(prompt + 1, reached + 1)))
        # Threads of one length peak together.
        assert isclose(row["peak_tokens"], row["width"] * reached)
        assert isclose(row["peak_tokens_sum"], row["width"] * reached)
        assert isclose(row["peak_bytes"], 512 * 6 * (-(-prompt // 4) + row["width"] * -(-(reached - prompt) // 4)))
        assert isclose(row["as_run_seconds"], 0.5 + row["width"] * (reached - prompt) * 1e-3)
        assert row["mean_length"] == reached
        assert row["realised_ratio"] == 1.0
        assert row["truncated_share"] == float(prompt + total > length)


def test_a_cut_equals_the_same_chain_generated_under_that_cap() -> None:
    long = [sample_row("p", thread, 64, generated_tokens=20 + thread) for thread in range(3)]
    short = []
    for sample in long:
        steps = {name: sample[name][:11] for name in (*STEP_COLUMNS, STEP_THREADS, "tokens", "text_ends")}
        text = sample["text"][:11]
        short.append(
            sample_row("p", sample["thread"], 16, generated_tokens=11, finish_reason="length", text=text, **steps)
        )
    grid = [(1, 16), (2, 16), (3, 16)]
    one = computed(long, graded(long, [16]), grid)
    other = computed(short, graded(short, [16]), grid)
    pd.testing.assert_frame_equal(one, other)
    assert one["truncated_share"].tolist() == [1.0] * 3


def test_early_stoppers_of_a_small_cap_stay_out_of_a_longer_pool() -> None:
    stopped = sample_row("p", 0, 16, generated_tokens=3)
    cut = sample_row("p", 1, 16, generated_tokens=11, finish_reason="length")
    longer = sample_row("p", 2, 64, generated_tokens=30)
    samples = [stopped, cut, longer]
    grades = graded(samples, [16, 64])
    frame = computed(samples, grades, [(1, 16), (1, 64)]).set_index("length")
    assert frame["pool"].to_dict() == {16: 3, 64: 1}
    assert frame["mean_length"].to_dict() == {16: (8 + 16 + 16) / 3, 64: 35}
    raised = {**stopped, "length_cap": 64}
    frame = computed([raised, cut, longer], [*grades, grade_row(raised, 64)], [(1, 64)])
    assert frame["pool"].tolist() == [2]
    assert frame["mean_length"].tolist() == [(8 + 35) / 2]


@pytest.mark.parametrize("aggregate", ["majority", "pass"])
def test_a_prompt_that_leaves_no_room_is_wrong_and_charged_as_the_peak(aggregate: str) -> None:
    empty = [sample_row("p", t, 32, prompt_tokens=40, generated_tokens=0, finish_reason="length") for t in range(2)]
    frame = computed(empty, graded(empty, [32], correct=True), [(1, 16), (2, 32)], aggregate)
    for row in frame.to_dict("records"):
        assert (row["accuracy"], row["kv_reads"], row["truncated_share"]) == (0, 0, 1)
        assert (row["as_run_seconds"], row["batch_threads"]) == (0, 0)
        assert row["prompt_fits"] is False
        # 40 tokens lie in 3 pages of each of 2 layers x 3 KV heads, which the threads share.
        assert row["peak_tokens"] == row["peak_tokens_sum"] == row["width"] * 40
        assert row["peak_bytes"] == row["peak_bytes_sum"] == 3 * 6 * 512
        assert row["mean_length"] == row["length"]
        assert np.isnan(row["realised_ratio"])


def test_threads_without_a_grade_of_their_chain_are_not_in_the_pool() -> None:
    samples = [sample_row("p", thread) for thread in range(3)]
    grades = [grade_row(samples[0]), {**grade_row(samples[1]), "chain": "of another chain"}]
    frame = computed(samples, grades, [(1, 64), (2, 64)])
    assert frame[["width", "pool"]].to_numpy().tolist() == [[1, 1]]


def test_pass_at_w_counts_subsets_with_a_correct_thread() -> None:
    samples = [sample_row("p", thread) for thread in range(6)]
    grades = [grade_row(sample, 64, "a", sample["thread"] < 2) for sample in samples]
    frame = computed(samples, grades, [(w, 64) for w in (1, 3, 6)], "pass").set_index("width")
    for width in (1, 3, 6):
        assert isclose(frame["accuracy"][width], 1 - comb(4, width) / comb(6, width))
    assert frame["tied"].isna().all()


def test_classes_are_asked_once_a_pool_and_see_only_true_answers() -> None:
    samples = [sample_row("p", thread) for thread in range(3)]
    answers = ["1", None, "1.0"]
    grades = [grade_row(sample, 64, answer) for sample, answer in zip(samples, answers, strict=True)]
    asked: list[Any] = []

    def spy(task: str, given: Any) -> list[int]:
        asked.append((task, list(given)))
        return [0, -1, 0]

    stored = rows_to_arrow("samples", samples).to_pandas(), rows_to_arrow("grades", grades).to_pandas()
    frame = outcomes(*stored, [(1, 64), (2, 64), (3, 64)], {"t": "majority"}, spy)
    assert asked == [("t", [("1", "1"), (None, None), ("1.0", "1.0")])]
    assert frame["accuracy"].tolist() == [pytest.approx(2 / 3), 1.0, 1.0]


def test_the_ratio_of_a_budget_bound_run_follows_length() -> None:
    samples = [sample_row("p", 0, 64, backend="tova", cache_budget=16, compression_ratio=4.0)]
    frame = computed(samples, graded(samples, [8, 16, 32, 64]), [(1, at) for at in (8, 16, 32, 64)])
    assert dict(zip(frame["length"], frame["compression_ratio"], strict=True)) == {16: 1.0, 32: 2.0, 64: 4.0}


def test_two_runs_of_one_outcome_are_refused() -> None:
    samples = [sample_row("p", 0), sample_row("p", 0, run_id="other")]
    with pytest.raises(ValueError, match="two runs give the same outcome"):
        computed(samples, graded(samples, [64]), [(1, 64)])


def test_a_task_without_an_aggregate_is_refused() -> None:
    samples = [sample_row("p", 0, task="new")]
    with pytest.raises(ValueError, match="no aggregate for the sampled task new"):
        computed(samples, graded(samples, [64]), [(1, 64)])


def test_subsets_depend_on_seed_and_problem_but_not_on_order_or_backend() -> None:
    draw = np.random.default_rng(1)
    samples = [sample_row(f"p{i}", t) for i in range(3) for t in range(16)]
    letters = draw.choice(["a", "b", "c"], size=16).tolist()
    grades = [grade_row(s, 64, letters[s["thread"]], letters[s["thread"]] == "a") for s in samples]
    frame = computed(samples, grades, [(8, 64)])
    assert frame["accuracy"].nunique() > 1
    pd.testing.assert_frame_equal(computed(samples[::-1], grades[::-1], [(8, 64)]), frame)
    other = [{**sample, "backend": "dms", "run_id": "dms"} for sample in samples]
    again = computed(other, [{**grade, "run_id": "dms"} for grade in grades], [(8, 64)])
    assert again["accuracy"].tolist() == frame["accuracy"].tolist()


def test_no_samples_give_an_empty_table_of_the_right_columns() -> None:
    frame = computed([], [], [(1, 64)])
    assert frame.empty
    assert list(frame.columns) == arrow_schema("outcomes").names
    frame_to_arrow("outcomes", frame)
