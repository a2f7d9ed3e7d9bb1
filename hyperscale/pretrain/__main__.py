"""`python -m hyperscale.pretrain`: the command behind `make train-tiny`."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from hyperscale.pretrain.log import Row
from hyperscale.pretrain.recipe import Recipe
from hyperscale.pretrain.train import train


def main(
    output_dir: Annotated[Path, typer.Option("--output-dir", "-o", help="Folder of the run.")] = Path("runs/tiny"),
    steps: Annotated[int, typer.Option(min=1, help="Steps in all.")] = Recipe.steps,
    seed: Annotated[int, typer.Option(min=0, help="Of the first weights and of the documents.")] = Recipe.seed,
    compiled: Annotated[bool, typer.Option(help="Compile the passes (needs g++): a third faster.")] = True,
) -> None:
    """Train the shipped model from nothing. Run again to go on after a kill."""
    recipe = replace(Recipe(), steps=steps, seed=seed)
    compiled = compiled and shutil.which("g++") is not None

    def told(row: Row) -> None:
        if row["step"] % 100 == 0 or row["step"] == steps:
            left = row["seconds"] / row["step"] * (steps - row["step"]) / 60
            print(f"step {row['step']:,}/{steps:,}, loss {row['loss']:.3f}, about {left:.0f} min left", flush=True)

    try:
        checkpoint = train(recipe, output_dir, told, compiled=compiled)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    if checkpoint is None:
        print("interrupted: the same command goes on from here")
        raise typer.Exit(130)
    print(f"trained: {checkpoint}")


if __name__ == "__main__":
    typer.run(main)
