"""Commands: parse, call, print. No logic; each command imports the heavy modules that it needs."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core

from hyperscale import __version__
from hyperscale.cli.command import option, takes
from hyperscale.cli.options import MODEL, SAVE_CRS, TypedOnly, retrofit_config, sweep_config
from hyperscale.config import SweepConfig
from hyperscale.plan.names import check_names
from hyperscale.retrofit.config import RetrofitConfig
from hyperscale.text import parse_list

USER_ERROR, INTERRUPTED = 2, 130


class _Interrupted(Exception):
    """Signal Ctrl-C, apart from a command's own exit code."""


class _Commands(typer.core.TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            # typer makes an exit code of it, without a word.
            raise _Interrupted from None


app = typer.Typer(
    name="hyperscale",
    cls=_Commands,
    help="W-L sweeps over KV-cache backends: accuracy against KV reads, peak memory and throughput.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


_takes_sweep = takes(sweep_config, SweepConfig, TypedOnly, defaults={"model": MODEL})


def main() -> None:
    """Entry point. Exit code 0; 2 on a user's mistake, told in one line; 130 when interrupted."""
    code = run(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    if code == INTERRUPTED:
        os._exit(code)  # A second Ctrl-C means at once: not after the threads that Python would wait for.
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run a command line; its exit code."""
    try:
        code = app(args=list(arguments), prog_name="hyperscale", standalone_mode=False)
    except (ValueError, OSError) as error:
        return _failed(str(error))
    except UsageError as error:
        message = error.format_message()
        return _failed(message) if message else USER_ERROR  # Without a command the help says it all.
    except (_Interrupted, KeyboardInterrupt, typer.Abort):
        print("interrupted: what was finished is saved; the same command goes on from there", file=sys.stderr)
        return INTERRUPTED
    return code if isinstance(code, int) else 0


@app.command(rich_help_panel="Measure")
@_takes_sweep
def sweep(
    config: SweepConfig,
    dry_run: Annotated[bool, option("Output", "Print the plan and stop.", "--dry-run")] = False,
    force: Annotated[bool, option("Output", "Start afresh; the old folder is moved to NAME.bak-N.", "--force")] = False,
) -> int:
    """Generate, grade and measure every point of a W-L grid. Run again to resume; extend the grid to add to it."""
    check_names(config)
    if dry_run:
        from hyperscale.cli.show_plan import resolve_and_print

        resolve_and_print(config)
        return 0
    from hyperscale.cli.show import print_report
    from hyperscale.executors import executor_class
    from hyperscale.plan.resolve import resolve

    plan, executor = resolve(config), executor_class(config)  # Mistakes are told before the rest is imported.
    from hyperscale.sweep import run as corridor
    from hyperscale.sweep.progress import make_progress

    with make_progress() as progress:
        executor.check(plan, needed=force)
        report = corridor.sweep(plan, executor, progress, ["hyperscale", *sys.argv[1:]], force=force)
    print_report(report)
    return INTERRUPTED if report.interrupted else 0


@app.command(rich_help_panel="Measure")
@_takes_sweep
def plan(
    config: SweepConfig,
    accelerator: Annotated[
        str | None,
        option("Plan", "h100, h200, a100 or this (measured); default: this machine's GPU, else h100.", "--accelerator"),
    ] = None,
    gpus: Annotated[int | None, option("Plan", "GPUs that shards run on (default: those of one).", "--gpus")] = None,
    prompt_tokens: Annotated[
        int | None, option("Plan", "Tokens of a prompt (default: 256, at most half of the least L).", "--prompt-tokens")
    ] = None,
    reach: Annotated[float, option("Plan", "Share of its cap that a chain reaches: 1 is the bound.", "--reach")] = 1.0,
) -> None:
    """Print points, the runs that cover them, tokens, bytes, time and memory, without loading a model."""
    check_names(config)
    from hyperscale.cli.show_plan import resolve_and_print

    resolve_and_print(config, accelerator=accelerator, gpus=gpus, prompt_tokens=prompt_tokens, reach=reach)


@app.command(rich_help_panel="Measure")
@takes(dict, SweepConfig, TypedOnly, defaults={"model": MODEL})
def latency(
    typed: dict[str, Any],
    results: Annotated[str | None, typer.Argument(help="Results folder of a sweep (default: of --model).")] = None,
) -> None:
    """Measure seconds of a decode step over batches and contexts: latency.parquet, from which throughput comes."""
    from hyperscale.cli.show_latency import measure_and_print

    measure_and_print(results, typed)


@app.command(rich_help_panel="Train")
@takes(retrofit_config, RetrofitConfig, defaults={"model": ..., "save_crs": SAVE_CRS})
def retrofit(config: RetrofitConfig) -> int:
    """Teach a model to compress its KV cache: a family of DMS or DMC checkpoints. Run again to resume."""
    from hyperscale.retrofit.progress import make_progress, print_report
    from hyperscale.retrofit.run import retrofit as train

    leads = os.environ.get("RANK", "0") == "0"
    with make_progress(leads) as progress:
        report = train(config, progress, ["hyperscale", *sys.argv[1:]])
    if leads:
        print_report(report)
    return INTERRUPTED if report.interrupted else 0


@app.command(rich_help_panel="Look")
def figures(
    results: Annotated[str, typer.Argument(help="Results folder of a sweep, or its URL.")],
    out: Annotated[
        Path | None,
        option("Output", "Folder for the figures (default: RESULTS/plots, of a URL plots/NAME).", "--out", "-o"),
    ] = None,
    formats: Annotated[str, option("Output", "Comma list of file formats.", "--formats")] = "png,pdf",
    figures: Annotated[
        str | None, option("Output", "Comma list of figures, or PATH.py:NAME (default: all).", "--figures")
    ] = None,
) -> None:
    """Draw the figures of a sweep."""
    from hyperscale.figures import draw
    from hyperscale.storage.remote import is_local, to_place

    folder = to_place(results)
    default = folder / "plots" if is_local(folder) else Path("plots") / folder.name
    for path in draw(folder, out or default, parse_list(formats), None if figures is None else parse_list(figures)):
        print(path)


@app.command(rich_help_panel="Look")
def tasks(
    name: Annotated[str | None, typer.Argument(help="Task to show with a sample prompt.")] = None,
    data: Annotated[Path | None, option("Tasks", "Folder with local copies of the datasets.", "--data")] = None,
) -> None:
    """List the tasks, or show one with a prompt as the model gets it."""
    from hyperscale.cli.show import print_task, print_tasks

    if name is None:
        print_tasks()
    else:
        print_task(name, data)


@app.command(rich_help_panel="Look")
def backends(
    name: Annotated[str | None, typer.Argument(help="Backend to show with its settings.")] = None,
) -> None:
    """List the KV-cache backends and what each frees, or show one with its settings."""
    from hyperscale.cli.show import print_backend, print_backends

    if name is None:
        print_backends()
    else:
        print_backend(name)


@app.command(rich_help_panel="Look")
def models(
    model: Annotated[str | None, typer.Argument(help="Hub id, folder or .gguf file to inspect.")] = None,
    revision: Annotated[str | None, option("Model", "Branch, tag or commit of a hub model.", "--revision")] = None,
) -> None:
    """Say what --model takes, or inspect a model: its shape and what its KV cache costs."""
    from hyperscale.cli.show import print_model, print_models

    if model is None:
        print_models()
    else:
        print_model(model, revision)


@app.command(rich_help_panel="Look")
def unlock(
    results: Annotated[str, typer.Argument(help="URL of a results folder.")],
    force: Annotated[
        bool, option("Output", "The holder ran on another machine, and is known to be dead.", "--force")
    ] = False,
) -> None:
    """Remove a dead process's lock of a results folder at a URL."""
    from hyperscale.storage.lock import unlock as remove_lock
    from hyperscale.storage.remote import to_place

    print(remove_lock(to_place(results), force=force))


def _version(asked: bool) -> None:
    if asked:
        print(f"hyperscale {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    pass


UsageError: type[typer.BadParameter] = typer.BadParameter.__base__  # type: ignore[assignment]  # click's own


def _failed(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return USER_ERROR
