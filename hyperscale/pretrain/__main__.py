"""`python -m hyperscale.pretrain`: the commands behind `make train-tiny` and `make retrofit-tiny`."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from hyperscale.cli.main import INTERRUPTED, USER_ERROR, UsageError
from hyperscale.model.source import EMBEDDED
from hyperscale.pretrain.recipe import Recipe
from hyperscale.retrofit.log import Row

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)

OutputDir = Annotated[Path, typer.Option("--output-dir", "-o", help="Folder of the run.")]


@app.command()
def train(
    output_dir: OutputDir = Path("runs/tiny"),
    steps: Annotated[int, typer.Option(min=1, help="Total steps.")] = Recipe.steps,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the initial weights and the documents.")] = Recipe.seed,
    compiled: Annotated[bool, typer.Option(help="Compile the model (needs g++): a third faster.")] = True,
) -> None:
    """Train the shipped model from scratch. The same command resumes a stopped run."""
    from hyperscale.pretrain.train import train as run

    if compiled and shutil.which("g++") is None:
        print("g++ is missing: the model is not compiled", file=sys.stderr)
        compiled = False

    def on_row(row: Row) -> None:
        if row["step"] % 100 == 0 or row["step"] == steps:
            left = row["seconds"] / row["step"] * (steps - row["step"]) / 60
            print(f"step {row['step']:,}/{steps:,}, loss {row['loss']:.3f}, about {left:.0f} min left", flush=True)

    checkpoint = run(replace(Recipe(), steps=steps, seed=seed), output_dir, on_row, compiled=compiled)
    if checkpoint is None:
        raise typer.Exit(INTERRUPTED)
    print(f"trained: {checkpoint}")


@app.command()
def retrofits(
    model: Annotated[Path, typer.Option(help="The trained checkpoint.")] = Path("runs/tiny/checkpoint"),
    output_dir: OutputDir = Path("runs/tiny-retrofits"),
) -> None:
    """Retrofit the trained model: DMS, immediate DMS, DMC. The same command resumes a stopped run."""
    from hyperscale.pretrain.shipped import RETROFITS, config_of, run_retrofit
    from hyperscale.retrofit.progress import make_progress

    for name in RETROFITS:
        with make_progress(leads=True) as progress:
            print(f"retrofit {name}", flush=True)
            if not run_retrofit(config_of(name, model, output_dir), progress):
                raise typer.Exit(INTERRUPTED)


@app.command()
def ship(
    model: Annotated[Path, typer.Option(help="The trained checkpoint.")] = Path("runs/tiny/checkpoint"),
    retrofitted: Annotated[Path, typer.Option(help="Folder of its retrofits.")] = Path("runs/tiny-retrofits"),
    target: Annotated[Path, typer.Option(help="Folder of --model tiny.")] = EMBEDDED["tiny"],
) -> None:
    """Copy the checkpoints into the package."""
    from hyperscale.pretrain.shipped import assemble

    assemble(model, retrofitted, target)
    print(f"written: {target}")


def main() -> int:
    """Run a command; return 0, 2 after a user's mistake (printed in one line), or 130 when interrupted."""
    try:
        code = app(standalone_mode=False)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return USER_ERROR
    except UsageError as error:
        print(f"error: {error.format_message()}", file=sys.stderr)
        return USER_ERROR
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    if code == INTERRUPTED:
        print("interrupted: the same command resumes the run", file=sys.stderr)
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    sys.exit(main())
