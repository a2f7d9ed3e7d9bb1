"""Sweeps over backends that are bound to a budget, with the real engine and a tiny random model."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from hyperscale.backends import backend_class, backend_names
from hyperscale.cli.main import run
from hyperscale.cli.show import print_report
from hyperscale.plan.resolve import resolve
from hyperscale.sweep.run import Report
from tests.fakes import no_spec
from tests.folders import rows, table
from tests.gated_models import write_gated_model
from tests.sums import sweep_tiny, write_sums
from tests.test_config import make
from tests.tiny_models import write_tiny_model

BOUND = [name for name in backend_names() if backend_class(name).knows_length]
UNTIMED = [
    "accuracy",
    "tied",
    "kv_reads",
    "peak_tokens",
    "peak_bytes",
    "prompt_fits",
    "mean_length",
    "truncated_share",
    "pool",
]
UNTIMED += ["realised_ratio"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model"), "qwen2")


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sums(tmp_path_factory.mktemp("task"), problems=3)


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory, model: Path, task: Path) -> Path:
    names = ",".join(["vanilla", *BOUND])
    return sweep_tiny(
        tmp_path_factory.mktemp("grid") / "out", model, task, "--widths", "1,2", "--lengths", "64,128",
        "--backends", names, "--cr", "2,4",
    )  # fmt: skip


def test_there_is_a_run_for_each_distinct_budget() -> None:
    config = make(grid=((1, 64), (2, 64), (1, 128), (2, 128)), backends=("tova",), compression_ratios=(2, 4))
    runs = {run.cache_budget: run for run in resolve(config).runs}
    assert {budget: run.points for budget, run in runs.items()} == {
        16: ((1, 64), (2, 64)),
        32: ((1, 64), (1, 128), (2, 64), (2, 128)),
        64: ((1, 128), (2, 128)),
    }
    assert runs[32].length_caps == (128, 128)
    assert runs[32].ratios == (2, 4)
    assert runs[16].name == "tova B 16"


def test_a_budget_that_is_no_whole_number_is_refused() -> None:
    with pytest.raises(ValueError, match=r"--cr 3 at L = 64 .* whole number"):
        resolve(make(grid=((1, 64),), backends=("tova",), compression_ratios=(3,)))


@pytest.mark.parametrize(
    ("ratio", "length", "budget"), [(1.1, 33, 30), (1.4, 21, 15), (2.8, 21504, 7680), (2.5, 40, 16)]
)
def test_a_budget_that_only_floats_make_a_fraction_is_a_whole_number(ratio, length, budget):
    [run] = resolve(make(grid=((1, length),), backends=("tova",), compression_ratios=(ratio,))).runs
    assert run.cache_budget == budget
    assert run.ratios == (ratio,)


def test_where_the_prompt_leaves_no_room_a_covered_point_is_the_point_generated_alone(tmp_path, model, task):
    """Whatever the rest of the run did, a point at which nothing is run has the costs of its prompts alone."""
    backends = ["--backends", "vanilla,tova", "--cr", "4", "--widths", "2"]
    covering = sweep_tiny(tmp_path / "covering", model, task, *backends, "--lengths", "16,64")
    alone = sweep_tiny(tmp_path / "alone", model, task, *backends, "--lengths", "16,32")
    found = [
        pd.read_parquet(folder / "outcomes.parquet").query("length == 16").sort_values(["backend", "problem_id"])
        for folder in (covering, alone)
    ]
    left, right = (frame[[*UNTIMED, "as_run_seconds", "batch_threads"]].reset_index(drop=True) for frame in found)
    assert len(left) == 6
    pd.testing.assert_frame_equal(left, right)
    assert (left[["accuracy", "kv_reads", "as_run_seconds", "batch_threads"]] == 0).all(axis=None)
    assert not left["prompt_fits"].any()
    assert (left["peak_tokens"] == 2 * 23).all()
    assert (left["mean_length"] == 16).all()
    for folder in (covering, alone):
        points = pd.read_parquet(folder / "points.parquet").set_index("length")
        assert (points["prompts_fit"] == (points.index > 16)).all()
        assert 16 not in set(pd.read_parquet(folder / "frontiers.parquet")["length"])


def test_a_sweep_in_which_no_prompt_fits_is_refused_before_anything_is_generated(tmp_path, model, task, capsys):
    grid = ["--backends", "vanilla,tova", "--cr", "4", "--widths", "1"]
    folder = sweep_tiny(tmp_path / "out", model, task, *grid, "--lengths", "16", exit_code=2)
    told = "sums: no prompt leaves room at any L: the shortest of 3 takes 23 tokens, the largest L is 16; "
    assert told + "raise --lengths (or --budget) to an L of at least 24" in capsys.readouterr().err
    assert not list(folder.glob("samples/*.parquet"))
    arguments = ["plan", "--model", str(model), "--tasks", str(task), *grid]
    assert run([*arguments, "--lengths", "16"]) == 0
    assert f"error: {told}" in capsys.readouterr().out
    assert run([*arguments, "--lengths", "16,24"]) == 0
    said = capsys.readouterr().out
    assert "sums: prompts of 23 to 23 tokens" in said
    assert "sums: at L = 16 0 of 3 prompts leave room: its points will be on no frontier" in said
    assert "at L = 24" not in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--backend-option", "tova.sink_tokens=16"],
            "tova: a budget of 16 tokens a row has no room for sink_tokens 16",
        ),
        (["--backend-option", "tova.protect_prompt=true"], "sums 0: tova.protect_prompt: a prompt of 23 tokens"),
        (["--memory-budget", "18kB"], "cannot hold one thread of 64 tokens under vanilla"),
    ],
)
def test_what_one_run_cannot_do_is_told_before_any_generates(tmp_path, model, task, options, message, capsys):
    """TOVA at B = 16 is the second run; vanilla is the greediest, and comes last where memory lacks."""
    names = "tova,vanilla" if "--memory-budget" in options else "vanilla,tova"
    folder = sweep_tiny(
        tmp_path / "out", model, task, "--backends", names, "--cr", "4", "--widths", "1", "--lengths", "64", *options,
        exit_code=2,
    )  # fmt: skip
    assert message in capsys.readouterr().err
    assert not list(folder.glob("samples/*.parquet"))


@pytest.mark.parametrize("backend", BOUND)
@pytest.mark.parametrize(("length", "ratio"), [(64, 2), (128, 4)])
def test_a_covered_point_is_the_point_generated_alone(tmp_path, model, task, grid, backend, length, ratio):
    """Both points are covered by one run, B = 32."""
    alone = sweep_tiny(
        tmp_path / "alone", model, task, "--widths", "2", "--lengths", str(length), "--backends", backend,
        "--cr", str(ratio),
    )  # fmt: skip
    covering = table(grid, "samples").query(f"backend == '{backend}' and cache_budget == 32").reset_index(drop=True)
    for long, short in zip(rows(covering), rows(table(alone, "samples")), strict=True):
        kept = min(long["generated_tokens"], length - long["prompt_tokens"])
        assert short["tokens"] == long["tokens"][:kept]
        for name in ("step_reads", "step_live", "step_pages"):
            assert short[name] == long[name][:kept]
    point = f"backend == '{backend}' and compression_ratio == {ratio} and width == 2 and length == {length}"
    found = [pd.read_parquet(folder / "outcomes.parquet").query(point) for folder in (grid, alone)]
    left, right = (frame.sort_values("problem_id", ignore_index=True)[["problem_id", *UNTIMED]] for frame in found)
    assert len(left) == 3
    pd.testing.assert_frame_equal(left, right)


@pytest.mark.parametrize("backend", BOUND)
def test_the_table_holds_the_points_of_the_grid_and_no_others(grid, backend):
    points = pd.read_parquet(grid / "points.parquet").query(f"backend == '{backend}'")
    keys = zip(points["compression_ratio"], points["width"], points["length"], strict=True)
    assert sorted(keys) == [(cr, w, length) for cr in (2, 4) for w in (1, 2) for length in (64, 128)]


@pytest.mark.parametrize("backend", BOUND)
def test_reads_and_live_tokens_never_exceed_the_budget(grid, backend):
    rows_of_model = None
    for sample in rows(table(grid, "samples").query(f"backend == '{backend}'")):
        rows_of_model = sample["layers"] * sample["kv_heads"]
        budget, prompt = sample["cache_budget"], sample["prompt_tokens"]
        for step, (reads, live) in enumerate(zip(sample["step_reads"], sample["step_live"], strict=True), start=1):
            if backend == "quest":
                assert live == (prompt + step) * rows_of_model
            else:
                assert reads == live == min(prompt + step, budget) * rows_of_model
        assert len(sample["row_live"]) == rows_of_model
        assert sum(sample["row_live"]) == sample["step_live"][-1]
    assert rows_of_model is not None


def test_the_report_says_where_a_ratio_was_not_reached(grid, capsys):
    points = pd.read_parquet(grid / "points.parquet")
    plan = resolve(make(backends=("vanilla", *BOUND), compression_ratios=(2, 4), output_dir=grid), no_spec)
    print_report(Report(plan, points, pd.DataFrame({"axis": []}), 0, 0, False))
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("sums: CR reached at L = 128")]
    assert len(told) == 1
    longest = points[points["length"] == 128].drop_duplicates(["backend", "compression_ratio"])
    for row in rows(longest[longest["backend"] != "vanilla"]):
        said = f"{row['backend']} {row['realised_ratio']:.2f} of {row['compression_ratio']:g}"
        short = row["realised_ratio"] < 0.9 * row["compression_ratio"] and row["backend"] != "quest"
        assert (said in told[0]) == short


def test_other_options_of_a_backend_are_another_experiment(model, task, grid, capsys):
    sweep_tiny(
        grid, model, task, "--widths", "1,2", "--lengths", "64,128", "--backends", "tova", "--cr", "2,4",
        "--backend-option", "tova.sink_tokens=2", exit_code=2,
    )  # fmt: skip
    assert "sink_tokens: (absent) -> 2" in capsys.readouterr().err


def test_gates_are_swept_at_the_ratio_that_they_were_trained_for(tmp_path, task):
    """A checkpoint in NVIDIA's layout, which says CR 8: of --cr 4,8 the gates can give 8 alone."""
    write_gated_model(tmp_path / "gated", "published")
    folder = sweep_tiny(
        tmp_path / "out", tmp_path / "gated", task, "--widths", "1,2", "--lengths", "64,96",
        "--backends", "vanilla,tova,dms", "--cr", "4,8",
    )  # fmt: skip
    points = pd.read_parquet(folder / "points.parquet")
    assert set(zip(points["backend"], points["compression_ratio"], strict=True)) == {
        ("vanilla", 1), ("tova", 4), ("tova", 8), ("dms", 8),
    }  # fmt: skip
    evicted = False
    for sample in rows(table(folder, "samples").query("backend == 'dms'")):
        assert sample["step_reads"] == sample["step_live"], "what is held is attended"
        seen = sample["prompt_tokens"] + sample["generated_tokens"]
        assert all(0 < live <= seen for live in sample["row_live"])
        evicted |= min(sample["row_live"]) < seen
    assert evicted


@pytest.mark.parametrize(
    ("layout", "ratios", "message"),
    [
        ("published", "4", "were trained for 8; dms needs --cr 8"),
        ("ours-linear", "4,8", "does not say what ratio its gates were trained for"),
        ("ours-dmc", "8", "this checkpoint has the gates of DMC"),
    ],
)
def test_a_ratio_that_the_gates_cannot_give_is_refused(tmp_path, task, layout, ratios, message, capsys):
    write_gated_model(tmp_path / "gated", layout)
    sweep_tiny(
        tmp_path / "out", tmp_path / "gated", task, "--widths", "1", "--lengths", "64", "--backends", "dms",
        "--cr", ratios, exit_code=2,
    )  # fmt: skip
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_grid_that_cannot_be_leaves_an_old_folder_where_it_is_even_with_force(tmp_path, model, task, capsys):
    grid = ["--widths", "1", "--lengths", "64", "--backends", "tova"]
    folder = sweep_tiny(tmp_path / "out", model, task, *grid, "--cr", "2")
    before = sorted(folder.rglob("*.parquet"))
    sweep_tiny(folder, model, task, *grid, "--cr", "3", "--force", exit_code=2)
    assert "whole number" in capsys.readouterr().err
    assert sorted(folder.rglob("*.parquet")) == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--backends", "tova"], "such as --cr 4,8"),
        (["--backends", "tova", "--cr", "4", "--backend-option", "tova.sinks=2"], "unknown setting 'sinks'"),
        (["--backends", "tova", "--cr", "4", "--backend-option", "tova.sink_tokens=x"], "tova.sink_tokens=x"),
        (["--backends", "tova", "--cr", "4", "--backend-option", "sink_tokens=2"], "BACKEND.FIELD=VALUE"),
        (["--backends", "tova", "--cr", "4", "--backend-option", "h2o.sink_tokens=2"], "not among --backends"),
        (["--backends", "vanilla", "--backend-option", "vanilla.x=2"], "vanilla has no settings"),
    ],
)
def test_a_mistake_with_backends_is_told_in_one_line(options, message, capsys):
    assert run(["plan", "--model", "m", "--tasks", "gsm8k", "--widths", "1", "--lengths", "4k", *options]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message in err
