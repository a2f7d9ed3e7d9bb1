from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import typer

from hyperscale import __version__
from hyperscale.cli.main import app, run
from hyperscale.cli.options import folder_name, sweep_config
from hyperscale.tasks.load import task_names
from tests.fakes import FakeExecutor, Interrupted, write_task
from tests.gated_models import write_gated_model

COMMANDS = ("sweep", "plan", "latency", "retrofit", "figures", "tasks", "backends", "models", "unlock")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hyperscale.executors.local.LocalExecutor", FakeExecutor)


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def sweep_arguments(folder: Path, task: Path) -> list[str]:
    return ["sweep", "--model", "fake", "-t", str(task), "--widths", "1,2", "--lengths", "16,32", "-o", str(folder)]


def test_sweep_prints_the_frontier_and_where_the_files_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fake: None
) -> None:
    assert run(sweep_arguments(tmp_path / "out", write_task(tmp_path))) == 0
    out, err = capsys.readouterr()
    assert "accuracy against KV reads" in out
    assert "accuracy against peak KV tokens" in out
    assert str(tmp_path / "out") in out.replace("\n", "")
    assert "toy | vanilla: 12/12 threads" in err
    assert "PARTIAL" not in err
    assert len(pd.read_parquet(tmp_path / "out" / "points.parquet")) == 4


def test_an_interrupted_sweep_says_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hyperscale.executors.local.LocalExecutor", Interrupted)
    arguments = sweep_arguments(tmp_path / "out", write_task(tmp_path))
    assert run(arguments) == 130
    out = capsys.readouterr().out
    assert "The same command completes it." in out
    assert "7 samples" in out
    monkeypatch.setattr("hyperscale.executors.local.LocalExecutor", FakeExecutor)
    assert run(arguments) == 0
    assert "5 samples" in capsys.readouterr().out


@pytest.mark.parametrize("cut", [["--limit", "2"], ["--problem-id", "p1,p2"]])
def test_a_partial_run_is_loud(tmp_path: Path, capsys: pytest.CaptureFixture[str], fake: None, cut: list[str]) -> None:
    assert run([*sweep_arguments(tmp_path / "out", write_task(tmp_path)), *cut]) == 0
    out, err = capsys.readouterr()
    assert "PARTIAL RUN" in err
    assert "not complete" in out
    assert not pd.read_parquet(tmp_path / "out" / "points.parquet")["complete"].any()


def test_force_keeps_the_old_folder_beside(tmp_path: Path, capsys: pytest.CaptureFixture[str], fake: None) -> None:
    arguments = sweep_arguments(tmp_path / "out", write_task(tmp_path))
    assert run(arguments) == 0
    assert run([*arguments, "--seed", "5"]) == 2
    assert "seed" in capsys.readouterr().err
    assert run([*arguments, "--seed", "5", "--force"]) == 0
    assert "out.bak-1" in capsys.readouterr().err
    seeds = [
        json.loads((tmp_path / name / "manifest.json").read_text())["identity"]["config"]["seed"]
        for name in ("out", "out.bak-1")
    ]
    assert seeds == [5, 0]


@pytest.mark.parametrize("command", ["plan", "sweep"])
def test_plan_and_dry_run_tell_the_cost_and_touch_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], checkpoint: Path, command: str
) -> None:
    task = write_task(tmp_path)
    arguments = [command, "--model", str(checkpoint), "-t", str(task), "--budget", "64", "--min-length", "8"]
    more = ["--dtype", "float32", "--memory-budget", "1MiB", "-o", str(tmp_path / "out")]
    assert run([*arguments, *more, *(["--dry-run"] if command == "sweep" else [])]) == 0
    out = capsys.readouterr().out
    assert "10 points" in out
    assert "1 x 64, 1 x 32, 2 x 16, 4 x 8" in out
    assert "at most 160" in out  # 64 + 32 + 2 * 16 + 4 * 8
    assert "2.5 x fewer" in out  # ... against 8 * (1 + 2 + 4 + 8) + 16 * 7 + 32 * 3 + 64 = 392
    assert "6 problems, at most 960 tokens" in out
    assert "512 B a token" in out  # 2 x 2 layers x 2 KV heads x 16 dimensions x 4 bytes
    assert "32 KiB" in out  # x 64 tokens
    assert re.search(r"threads at once .* 32, at L = 64", out)
    assert "what --memory-budget 1 MiB holds" in out
    assert not (tmp_path / "out").exists()


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A folder with the config of a tiny llama, and no weights."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    config = {
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "head_dim": 16,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 64,
        "vocab_size": 100, "max_position_embeddings": 2048, "eos_token_id": 1, "bos_token_id": 0,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("command", ["plan", "sweep"])
def test_a_grid_beyond_the_model_is_told_before_a_folder_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], checkpoint: Path, command: str
) -> None:
    grid = ["--widths", "1", "--lengths", "4k", "-o", str(tmp_path / "out")]
    assert run([command, "--model", str(checkpoint), "-t", str(write_task(tmp_path)), *grid]) == 2
    assert "L = 4k is beyond the 2k positions" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_force_without_the_model_moves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out" / "samples").mkdir(parents=True)
    arguments = sweep_arguments(tmp_path / "out", write_task(tmp_path))
    arguments[arguments.index("fake")] = str(tmp_path / "no" / "such" / "model")
    assert run([*arguments, "--force"]) == 2
    assert "no/such/model" in capsys.readouterr().err
    assert not (tmp_path / "out.bak-1").exists()


def test_force_takes_a_folder_whose_manifest_is_damaged(tmp_path: Path, fake: None) -> None:
    arguments = sweep_arguments(tmp_path / "out", write_task(tmp_path))
    assert run(arguments) == 0
    (tmp_path / "out" / "manifest.json").write_text("{")
    assert run(arguments) == 2
    assert run([*arguments, "--force"]) == 0


def test_names_are_printed_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, fake: None
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    folder = tmp_path / "a [bold]b[/] :smile:"
    assert run(sweep_arguments(folder, write_task(tmp_path))) == 0
    assert f"figures: hyperscale figures {folder}\n" in capsys.readouterr().out
    missing = str(tmp_path / "[red]x[/y] :smile:")
    assert run(["plan", "--model", missing, "-t", "gsm8k", "--budget", "1k"]) == 0
    assert missing in capsys.readouterr().out


@pytest.mark.parametrize(
    ("cut", "count"),
    [
        (["--limit", "5", "--problem-id", "1,2"], "2"),
        (["--limit", "5"], "5"),
        (["--limit", "9999"], "1,319"),
    ],
)
def test_plan_counts_the_problems_that_are_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], cut: list[str], count: str
) -> None:
    assert run(["plan", "--model", str(tmp_path / "x" / "y" / "z"), "-t", "gsm8k", "--budget", "1k", *cut]) == 0
    assert f"gsm8k: {count} problems" in capsys.readouterr().out


def test_plan_works_without_the_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "nothing" / "here" / "at-all"
    assert run(["plan", "--model", str(missing), "-t", "gsm8k", "--budget", "64k"]) == 0
    out = capsys.readouterr().out
    assert "bytes: unknown" in out
    assert "gsm8k: 1,319 problems" in out


MISTAKES: dict[str, tuple[list[str], str]] = {
    "no grid": (["sweep", "--model", "m", "-t", "gsm8k"], "--budget or as --widths"),
    "two grids": (["plan", "--model", "m", "-t", "gsm8k", "--budget", "8k", "--widths", "1"], "--budget or as"),
    "half a grid": (["plan", "--model", "m", "-t", "gsm8k", "--widths", "1"], "go together"),
    "no size": (["plan", "--model", "m", "-t", "gsm8k", "--budget", "8x"], "--budget: '8x'"),
    "small budget": (["plan", "--model", "m", "-t", "gsm8k", "--budget", "512"], "--min-length"),
    "empty entry": (["plan", "--model", "m", "-t", "gsm8k,,x", "--budget", "8k"], "--tasks"),
    "task": (["plan", "--model", "m", "-t", "gsm9k", "--budget", "8k"], "did you mean 'gsm8k'"),
    "backend": (["plan", "--model", "m", "-t", "gsm8k", "--budget", "8k", "--backends", "vanila"], "'vanilla'"),
    "ratio": (["plan", "--model", "m", "-t", "gsm8k", "--budget", "8k", "--cr", "x"], "--cr"),
    "no width": (
        ["plan", "--model", "m", "-t", "gsm8k", "--widths", "0", "--lengths", "4k"],
        "error: --widths 0: must",
    ),
    "no length": (
        ["plan", "--model", "m", "-t", "gsm8k", "--widths", "1,2", "--lengths", "4k,0"],
        "error: --lengths 0: must be at least 1\n",
    ),
    "memory": (
        ["plan", "--model", "m", "-t", "gsm8k", "--budget", "8k", "--memory-budget", ""],
        "--memory-budget: '' is not a size in bytes",
    ),
    "upper case": (["plan", "--model", "m", "-t", "gsm8k", "--budget", "8k", "--backends", "TOVA"], "mean 'tova'?"),
    "shown backend": (["backends", "Tova"], "did you mean 'tova'?"),
    "infinite": (
        ["plan", "--model", "m", "-t", "gsm8k", "--budget", "8k", "--temperature", "inf"],
        "--temperature inf",
    ),
    "not a number": (
        ["plan", "--model", "m", "-t", "gsm8k", "--budget", "8k", "--temperature", "nan"],
        "--temperature",
    ),
    "width": (["plan", "--model", "m", "-t", "gsm8k", "--budget", "1024m"], "1,048,576 threads a problem are more"),
    "pool": (["plan", "--model", "m", "-t", "gsm8k", "--budget", "8k", "--pool", "99999"], "--pool: 99,999 threads"),
    "value": (["plan", "--model", "m", "-t", "gsm8k", "--budget", "8k", "--top-p", "2"], "--top-p 2.0"),
    "type": (["plan", "--model", "m", "-t", "gsm8k", "--budget", "8k", "--seed", "x"], "--seed"),
    "flag": (["plan", "--modle", "m"], "--modle"),
    "command": (["swep"], "swep"),
    "results": (["figures", "nowhere"], "nowhere"),
    "data": (["tasks", "gsm8k", "--data", "nowhere"], "nowhere"),
    "model": (["models", "no/such/model"], "no/such/model"),
}


@pytest.mark.parametrize("name", sorted(MISTAKES))
def test_a_mistake_is_one_line_and_exit_code_2(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, message = MISTAKES[name]
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err


def test_every_flag_has_its_variable() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert set(commands) == set(COMMANDS)
    for command in commands.values():
        for flag in command.params:
            if flag.param_type_name == "option" and flag.name != "help":
                name = next(name for name in flag.opts if name.startswith("--"))
                assert flag.envvar == "HYPERSCALE_" + name[2:].upper().replace("-", "_")


def test_flags_win_over_variables_and_variables_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "sweep.toml"
    file.write_text(
        'model = "a/b/c"\ntasks = ["gsm8k", "math500"]\nwidths = [1, 2]\nlengths = ["4k", 8192]\nlimit = 3\n'
    )

    def plan(*arguments: str) -> str:
        assert run(["plan", "--config", str(file), *arguments]) == 0
        return capsys.readouterr().out

    assert "math500: 3 problems" in plan()
    assert "2: 2 x 8k" in plan()
    monkeypatch.setenv("HYPERSCALE_LIMIT", "4")
    assert "math500: 4 problems" in plan()
    assert "math500: 5 problems" in plan("--limit", "5")


@pytest.mark.parametrize(
    ("text", "message"),
    [("modle = 1", "did you mean 'model'"), ("model", "sweep.toml"), ("config = 'x'", "unknown key 'config'")],
)
def test_a_bad_config_file_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str) -> None:
    (tmp_path / "sweep.toml").write_text(text)
    assert run(["plan", "--config", str(tmp_path / "sweep.toml")]) == 2
    assert message in capsys.readouterr().err


def test_defaults_of_the_flags_are_those_of_the_config(tmp_path: Path) -> None:
    config = sweep_config(model="m", tasks="gsm8k", budget="8k")
    for name, field in type(config).model_fields.items():
        if not field.is_required():
            assert getattr(config, name) == field.default
    assert config.output_dir == Path("results/m--gsm8k")


def test_folder_names() -> None:
    assert folder_name("Qwen/Qwen3-8B", ("aime24", "math500")) == "Qwen--Qwen3-8B--aime24-math500"
    assert folder_name("some/where/model.Q4.gguf", ("own/sums.toml",)) == "model.Q4--sums"


def test_tasks_lists_all_and_shows_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["tasks"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in task_names())
    assert run(["tasks", str(write_task(tmp_path))]) == 0
    assert "Answer: 0 word word" in capsys.readouterr().out


def test_a_task_without_its_data_is_still_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    task = write_task(tmp_path)
    (tmp_path / "toy.jsonl").unlink()
    assert run(["tasks", str(task)]) == 0
    out = capsys.readouterr().out
    assert "grader: integer" in out
    assert "no sample prompt" in out


def test_models_lists_forms_and_inspects_one(capsys: pytest.CaptureFixture[str], checkpoint: Path) -> None:
    assert run(["models"]) == 0
    assert ".gguf" in capsys.readouterr().out
    assert run(["models", str(checkpoint)]) == 0
    out = capsys.readouterr().out
    assert "llama" in out
    assert "256 B in 16 bit, 512 B in float32" in out


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        ("published", "borrowed, ratio 8, window 6 tokens, decision shift 1, scale 100, bias -5"),
        ("ours-linear", "linear, ratio unknown, window 3 tokens, decision shift 1, scale 10, bias -5"),
    ],
)
def test_models_shows_the_gates_of_a_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], layout: str, said: str
) -> None:
    write_gated_model(tmp_path / "gated", layout)
    assert run(["models", str(tmp_path / "gated")]) == 0
    assert said in capsys.readouterr().out


def test_a_dry_run_with_force_moves_nothing(tmp_path: Path, fake: None) -> None:
    arguments = sweep_arguments(tmp_path / "out", write_task(tmp_path))
    assert run(arguments) == 0
    before = sorted(tmp_path.rglob("*"))
    assert run([*arguments, "--force", "--dry-run"]) == 0
    assert sorted(tmp_path.rglob("*")) == before


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"hyperscale {__version__}\n"
    assert run(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(command in out for command in COMMANDS)
    for command in COMMANDS:
        assert run([command, "--help"]) == 0
        assert "--help" in capsys.readouterr().out


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from hyperscale.cli.main import run; run(['sweep', '--help'])\n"
        "heavy = {'torch', 'transformers', 'datasets', 'matplotlib', 'sympy', 'pandas', 'pyarrow', 'scipy'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
