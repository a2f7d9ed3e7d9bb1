"""Each flag is declared once, and everything else follows from its declaration."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import typer
from pydantic import BaseModel, Field

from hyperscale.cli.command import FileFlag, takes
from hyperscale.cli.main import app, run
from hyperscale.cli.options import TypedOnly, retrofit_config, sweep_config
from hyperscale.config import SweepConfig
from hyperscale.config.flag import Flag, MadeOf, checked, flags_of
from hyperscale.retrofit.config import RetrofitConfig

SWEEP = {
    "Model": "--model --revision --dtype --device",
    "Tasks": "--tasks -t --quick --data --limit -L --problem-id --task-option",
    "Code tasks": "--code-grader --sandbox --confirm-run-unsafe-code",
    "Grid": "--budget --min-length --widths --lengths --pool",
    "KV cache": "--backends --cr --backend-option --memory-budget",
    "Sampling": "--temperature --top-p --top-k --min-p --seed",
    "Engine": "--max-batch --batch-invariant --no-batch-invariant --engine --tensor-parallel-size "
    "--pipeline-parallel-size --gpu-memory-utilization --base-url --served-model-name --request-concurrency",
    "Latency": "--latency --no-latency --latency-seconds",
    "Executor": "--executor --ray-address --shard-problems --gpus-per-shard --cpus-per-shard",
    "Output": "--config --output-dir -o",
}
PANELS = {
    "sweep": SWEEP | {"Output": f"{SWEEP['Output']} --dry-run --force"},
    "latency": SWEEP,
    "plan": SWEEP | {"Plan": "--accelerator --gpus --prompt-tokens --reach"},
    "retrofit": {
        "Model": "--model --revision --device",
        "Gates": "--method --form --window --decision-shift --immediate --delayed --scale --bias --borrowed-dim",
        "Data": "--data --dataset --dataset-config --dataset-revision --split --text-field --data-from-model "
        "--no-data-from-model --sample-temperature --context",
        "Schedule": "--target-cr --save-crs --steps-per-cr --fade-steps",
        "Training": "--train --lr --batch-size --micro-batch --clip --tau --autocast --no-autocast --recompute "
        "--no-recompute --seed",
        "Output": "--save-minutes --output-dir -o",
    },
}


@pytest.mark.parametrize("command", PANELS)
def test_the_help_shows_the_flags_in_their_panels(command: str) -> None:
    shown: dict[str, list[str]] = {}
    for parameter in typer.main.get_command(app).commands[command].params:  # type: ignore[attr-defined]
        if parameter.name not in ("help", "results"):
            of = shown.setdefault(parameter.rich_help_panel, [])
            of += [*parameter.opts, *parameter.secondary_opts]
    assert {panel: " ".join(flags) for panel, flags in shown.items()} == PANELS[command]
    assert list(shown) == list(PANELS[command])


@pytest.mark.parametrize("model", [SweepConfig, RetrofitConfig])
def test_every_field_can_be_typed(model: type[BaseModel]) -> None:
    flags = flags_of(model)
    assert set(model.model_fields) - set(flags) == ({"grid"} if model is SweepConfig else set())
    every = [*flags.values(), *(flags_of(TypedOnly).values() if model is SweepConfig else ())]
    for spelled in ("name", "short", "off"):
        given = [getattr(flag, spelled) for flag in every if getattr(flag, spelled)]
        assert len(given) == len(set(given))
    assert all(flag.before in model.model_fields for flag in every if flag.before)


@pytest.mark.parametrize(
    ("model", "make", "needed"),
    [
        (SweepConfig, sweep_config, {"model": "m", "tasks": "t", "budget": "8k"}),
        (RetrofitConfig, retrofit_config, {"model": "m", "form": "borrowed"}),
    ],
)
def test_a_default_that_is_shown_can_be_typed(model: type[BaseModel], make: Any, needed: dict[str, str]) -> None:
    plain = make(**needed)
    for field, flag in flags_of(model).items():
        info = model.model_fields[field]
        shown = None if info.is_required() else flag.default(info.default)
        if shown is not None:
            assert make(**needed | {flag.key: shown}) == plain, flag.name
            assert getattr(plain, field) == info.default or field == "save_crs"


def test_help_tells_the_defaults(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "200")

    def line(command: str, flag: str) -> str:
        assert run([command, "--help"]) == 0
        return next(line for line in capsys.readouterr().out.splitlines() if re.search(rf"{flag}\s", line))

    for flag, default in (("--model", "tiny"), ("--backends", "vanilla"), ("--temperature", "0.6"), ("--seed", "0")):
        assert f"[default: {default}]" in line("plan", flag)
    for flag, default in (("--context", "4k"), ("--window", "256"), ("--save-crs", "2,3,4,6,8"), ("--lr", "3e-05")):
        assert f"[default: {default}]" in line("retrofit", flag)
    assert "[required]" in line("retrofit", "--model")
    assert "[default" not in line("plan", "--limit")


class Fields(BaseModel, frozen=True, extra="forbid"):
    sizes: Annotated[tuple[int, ...], Flag("A", "Sizes.", name="size", read=lambda text: tuple(text.split("+")))] = (1,)
    kind: Annotated[Literal["a", "b"], Flag("A", "Kind.", short="-k")] = "a"
    most: Annotated[Annotated[int, Field(ge=1)] | None, Flag("B", "Most.")] = None
    fast: Annotated[bool, Flag("B", "Fast.", off="--slow")] = False
    names: Annotated[tuple[str, ...], Flag("B", "Names.", name="entry", repeated=True)] = ()
    pairs: Annotated[
        tuple[tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]], ...], MadeOf(("x", "y"))
    ] = ()


class Beside(BaseModel, frozen=True, extra="forbid"):
    file: Annotated[Path | None, FileFlag("B", "File.", before="most")] = None


@pytest.fixture
def typed() -> Any:
    """Calls a command with arguments; what its function was given."""
    small, told = typer.Typer(), []

    @small.command()
    @takes(lambda **given: given, Fields, Beside, defaults={"kind": "b"})
    def command(given: dict[str, Any], own: int = 3) -> None:
        told.append((given, own))

    def call(*arguments: str) -> tuple[dict[str, Any], int]:
        small(args=list(arguments), standalone_mode=False)
        return told.pop()

    return call


def test_a_command_is_given_what_was_typed_and_nothing_else(
    typed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert typed() == ({}, 3)
    assert typed("--kind", "b", "--own", "4") == ({"kind": "b"}, 4)
    assert typed("--slow", "--size", "1", "--entry", "x,y", "--entry", "z") == (
        {"fast": False, "size": "1", "entry": ["x,y", "z"]},
        3,
    )
    monkeypatch.setenv("HYPERSCALE_MOST", "7")
    (tmp_path / "f.toml").write_text('most = 8\nfast = true\nsize = [1, 2]\nentry = "x"\n')
    file = str(tmp_path / "f.toml")
    assert typed("--file", file)[0] == {
        "file": Path(file), "most": 7, "fast": True, "size": "1,2", "entry": ["x"]
    }  # fmt: skip
    (tmp_path / "f.toml").write_text("entry = []\n")
    assert typed("--file", file)[0] == {"file": Path(file), "most": 7}
    (tmp_path / "f.toml").write_text("file = 'x'\n")
    with pytest.raises(ValueError, match=r"--file .*f\.toml: unknown key 'file'"):
        typed("--file", file)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sizes": ("x",)}, "--size 'x': must be a whole number"),
        ({"kind": "c", "most": 0}, "--kind 'c': must be 'a' or 'b'; --most 0: must be at least 1"),
        ({"pairs": ((0, -1),)}, "--y -1: must be at least 0"),
        ({"pairs": ((-2, 0),)}, "--x -2: must be at least 0"),
        ({"no_such": 1}, "--no-such 1: is not a known setting"),
    ],
)
def test_a_refusal_names_the_flag(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        checked(Fields, fields)
    assert str(caught.value) == message


def test_configs_load_nothing_above_them() -> None:
    code = (
        "import sys, json, hyperscale.config\n"
        "print(json.dumps([name for name in sys.modules if name.split('.')[0] in"
        " ('hyperscale', 'torch', 'typer', 'numpy', 'pandas', 'fsspec')]))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert set(json.loads(loaded.stdout)) <= {
        "hyperscale", "hyperscale.config", "hyperscale.config.fields", "hyperscale.config.flag", "hyperscale.text",
        "hyperscale.storage", "hyperscale.storage.remote",
    }  # fmt: skip
