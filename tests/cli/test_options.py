"""What a sweep runs where it is not told otherwise."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from hyperscale.backends import backend_names
from hyperscale.cli.main import run
from hyperscale.cli.options import sweep_config
from hyperscale.plan.preflight import load_tasks
from hyperscale.plan.resolve import resolve
from hyperscale.plan.runs import Run


def test_without_flags_it_is_the_whole_experiment() -> None:
    config = sweep_config()
    assert config.model == "tiny"
    assert config.tasks == ("countdown", "trace")
    assert set(config.backends) == set(backend_names())
    assert config.compression_ratios == (4, 8)
    assert config.width == 16
    assert max(config.lengths) == 8 * min(config.lengths)
    assert (config.temperature, config.top_p) == (0.8, 1.0)
    assert {run.name for run in resolve(config).runs} >= {"vanilla", "dms CR 4", "dms CR 8", "dmc CR 4", "quest B 128"}


def test_it_is_whole_and_each_task_has_the_lengths_in_which_it_can_be_solved() -> None:
    config = sweep_config()
    tasks, plan = load_tasks(config), resolve(config)
    assert not any(loaded.problems.partial for loaded in tasks)
    assert {loaded.task.name: _lengths(plan.runs_from(loaded.task.min_length)) for loaded in tasks} == {
        "countdown": {64, 128, 256, 512},
        "trace": {128, 256, 512},
    }


def _lengths(runs: Iterable[Run]) -> set[int]:
    return {length for run in runs for _, length in run.points}


def test_what_is_given_stays(tmp_path: Path) -> None:
    config = sweep_config(tasks="trace", temperature=0.5, backends="vanilla", output_dir=str(tmp_path))
    assert (config.tasks, config.temperature, config.backends) == (("trace",), 0.5, ("vanilla",))
    assert config.compression_ratios == ()
    assert config.limit == sweep_config().limit
    assert sweep_config(problem_id="3,4").limit is None
    assert sweep_config(budget="1k", min_length="128").lengths == (128, 256, 512, 1024)
    assert sweep_config(backends="tova").backend_options == ()


def test_an_engine_of_the_vanilla_cache_alone_is_asked_for_that() -> None:
    config = sweep_config(engine="vllm")
    assert (config.backends, config.compression_ratios) == (("vanilla",), ())
    assert config.grid == sweep_config().grid
    with pytest.raises(ValueError, match="vanilla cache alone, not with dms"):
        sweep_config(engine="vllm", backends="vanilla,dms")


def test_the_ablation_is_swept_over_the_same_grid() -> None:
    config = sweep_config(model="tiny-immediate", backends="dms")
    assert config.grid == sweep_config().grid
    assert {run.name for run in resolve(config).runs} == {"dms CR 4", "dms CR 8"}


def test_quick_is_a_part_of_it() -> None:
    quick, whole = sweep_config(quick=True), sweep_config()
    assert set(quick.grid) < set(whole.grid)
    assert quick.backends == whole.backends
    assert quick.limit is not None
    assert whole.limit is not None
    assert quick.limit < whole.limit


def test_other_models_have_the_general_defaults() -> None:
    config = sweep_config(model="m", tasks="gsm8k", budget="8k")
    assert (config.backends, config.temperature, config.top_p, config.max_batch) == (("vanilla",), 0.6, 0.95, 128)
    assert config.limit is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sweep", "--model", "m", "--quick"], "--quick is a small version of the built-in experiment"),
        (["plan", "--model", "m", "--budget", "8k"], "say what to sweep with --tasks"),
    ],
)
def test_mistakes_are_told(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    assert message in capsys.readouterr().err
