"""A task of a few sums, and sweeps of a tiny random model over it."""

from __future__ import annotations

from pathlib import Path

from hyperscale.cli.main import run


def write_sums(folder: Path, problems: int) -> Path:
    """Write the task's rows and its TOML file, which is returned."""
    (folder / "rows.jsonl").write_text("".join(f'{{"q": "{n}+{n}?", "a": {2 * n}}}\n' for n in range(problems)))
    toml = folder / "sums.toml"
    toml.write_text(
        'name = "sums"\ntitle = "Sums"\nrows = "rows.jsonl"\ngrader = "number"\naggregate = "majority"\n'
        'prompt = "{problem}"\n[columns]\nproblem = "q"\nanswer = "a"\n'
    )
    return toml


def sweep_tiny(folder: Path, model: Path, task: Path, *more: str, exit_code: int = 0) -> Path:
    """Sweep in fp32 on the CPU into `folder`, which is returned."""
    arguments = ["sweep", "--model", str(model), "--tasks", str(task), "--dtype", "float32", "--device", "cpu"]
    arguments += ["--temperature", "1", "--seed", "3", "--memory-budget", "64MB", "--output-dir", str(folder)]
    assert run([*arguments, *more]) == exit_code
    return folder
