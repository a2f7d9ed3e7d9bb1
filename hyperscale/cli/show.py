"""Print a sweep's report, tasks, backends and models on stdout."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from hyperscale.backends import backend_class, backend_names
from hyperscale.backends.settings import defaults, plain
from hyperscale.model.source import EMBEDDED, family_of
from hyperscale.model.spec import FAMILIES, ROPE_TYPES, GateSpec
from hyperscale.results.rows import records
from hyperscale.results.schema import POINT_KEY
from hyperscale.tasks.adapters import ADAPTERS
from hyperscale.tasks.checks import make_options, shown
from hyperscale.tasks.load import load_problems, load_task, task_names
from hyperscale.tasks.task import Problem, Task
from hyperscale.text import format_bytes, format_tokens

if TYPE_CHECKING:
    from hyperscale.sweep.run import Report

_AXES = {"kv_reads": "KV reads", "peak_tokens": "peak KV tokens"}
_FORMS = (
    ("owner/name", "hub id; --revision pins a branch, tag or commit"),
    ("path/to/folder", "checkpoint folder: config.json, tokenizer, safetensors (sharded or not)"),
    ("path/to/file.gguf", "GGUF file, dequantized on loading"),
    ("path/to/family", "folder with family.json: an original and its retrofits"),
    *((name, "family that comes along") for name in EMBEDDED),
)


def print_report(report: Report) -> None:
    """Print the frontiers, whether all is there, the ratios that were not reached, and where the files are."""
    console = _console()
    if len(report.frontiers):
        for axis, title in _AXES.items():
            console.print(_frontier(report, axis, title))
    if report.interrupted:
        console.print("Stopped before the end: everything finished is saved. The same command completes it.")
    elif len(report.points) and not report.points["complete"].all():
        console.print("Some points are not complete: a task is cut by --limit or --problem-id, or lacks threads.")
    not_covered = (f"not covered: {line}" for line in report.plan.left_out)
    for line in (*_unfit(report), *_unreached(report), *not_covered):
        console.print(line, soft_wrap=True)
    console.print(f"{report.generated_samples:,} samples, {report.generated_tokens:,} tokens generated in this session")
    console.print(
        f"results: {report.folder}/ (points.parquet, frontiers.parquet, samples/, manifest.json)", soft_wrap=True
    )
    console.print(f"figures: hyperscale figures {report.folder}", soft_wrap=True)


REACHED = 0.9
"""Share of a nominal CR below which the report says what was reached."""


def _unfit(report: Report) -> Iterator[str]:
    """Say which L are on no frontier, as prompts of some problems fill them."""
    if not len(report.points):
        return
    unfit = report.points[report.points["prompts_fit"] < 1].sort_values("prompts_fit")
    for row in records(unfit.drop_duplicates(["task", "length"]).sort_values(["task", "length"])):
        share = f"{100 * (1 - row['prompts_fit']):.3g} %"
        yield (
            f"{row['task']}: at L = {format_tokens(row['length'])} the prompts of {share} of problems leave no room: "
            "these points are in points.parquet, and on no frontier, gain or figure"
        )


def _unreached(report: Report) -> Iterator[str]:
    """Say what was reached where it is below CR: chains shorter than their budget, gates that evict too little."""
    if not len(report.points):
        return
    points = report.points[report.points["compression_ratio"] > 1]
    # Quest keeps everything by design.
    overwriting = {run.backend for run in report.plan.runs if run.policy.overwrites}
    points = points[points["backend"].isin(overwriting)]
    # A point's compression does not depend on W; of the lengths, the largest is told.
    longest = points[points["length"] == points.groupby("task")["length"].transform("max")]
    short = longest[longest["realised_ratio"] < REACHED * longest["compression_ratio"]]
    for task, of_task in short.groupby("task"):
        reached = ", ".join(
            f"{row['backend']} {row['realised_ratio']:.2f} of {row['compression_ratio']:g}"
            for row in records(of_task.drop_duplicates(["backend", "compression_ratio"]))
        )
        at = format_tokens(int(of_task["length"].iloc[0]))
        yield f"{task}: CR reached at L = {at}, where it is below the nominal one (realised_ratio): {reached}"


def print_tasks() -> None:
    """Print the tasks that come with hyperscale."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("task", "title", "problems", "grader", "aggregate"):
        table.add_column(column)
    tasks = []
    for name in task_names():
        try:
            task = load_task(name)
        except (ValueError, OSError) as error:  # A plugin that is broken.
            table.add_row(name, str(error), "", "", "")
            continue
        tasks.append(task)
        table.add_row(name, task.title, _source(task), task.grader, task.aggregate)
    console = _console()
    console.print(table)
    console.print("\noptions (--task-option), with their defaults")
    for task in tasks:
        if options := _options(task):
            listed = " ".join(f"{key}={value}" for key, value in options.items())
            console.print(f"  {task.name}: {listed}", soft_wrap=True)


def print_task(name: str, data: Path | None) -> None:
    """Print a task and, if its data can be had, the prompt of its first problem; ValueError if `data` lacks it."""
    task = load_task(name)
    try:
        example = _example(load_problems(task, data=data, limit=1).problems[0])
    except ValueError as error:
        if data is not None:
            raise
        example = f"no sample prompt: {error}"
    print(f"{task.title}\nproblems: {_source(task)}")
    print(f"grader: {task.grader}, aggregate: {task.aggregate}, chance: {task.chance:g}")
    print(f"prompt: sha256 {task.prompt_sha}")
    if options := _options(task):
        print("\noptions, with their defaults\n")
    for key, value in options.items():
        meaning = type(make_options(task)).model_fields[key].description
        print(f"  --task-option {task.name}.{key}={value}" + (f"  {meaning}" if meaning else ""))
    print(f"\n{example}")


def _options(task: Task) -> dict[str, str]:
    """Write options of the task's adapter as --task-option takes them; those that are not set are empty."""
    return {} if task.adapter is None else shown(make_options(task))


def _example(problem: Problem) -> str:
    system = "" if problem.system is None else f"system message\n{problem.system}\n\n"
    prompt = f"problem {problem.id}, before the chat template\n{problem.prompt}"
    return f"{system}{prompt}\n\nanswer: {problem.gold}"


def print_backends() -> None:
    """Print the KV-cache backends."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("backend", "given by", "what it frees", "settings"):
        table.add_column(column, overflow="fold")
    for name in backend_names():
        try:
            policy = backend_class(name)
        except ValueError as error:  # A plugin that is broken.
            table.add_row(name, "", str(error), "")
            continue
        given = "nothing" if name == "vanilla" else "B = L / CR" if policy.knows_length else "CR"
        table.add_row(name, given, policy.frees, ", ".join(f"{k}={plain(v)}" for k, v in defaults(policy).items()))
    _console().print(table)


def print_backend(name: str) -> None:
    """Print a backend: its module's docstring, else its own, and its settings as --backend-option takes them."""
    policy = backend_class(name)
    about = inspect.getdoc(inspect.getmodule(policy)) or inspect.getdoc(policy)
    print(f"{name}\n\n{about}\n\nfrees: {policy.frees}")
    settings = defaults(policy)
    if settings:
        print(f"\nsettings, with their defaults\n\n{inspect.getdoc(policy.Settings)}\n")
    for field, value in settings.items():
        print(f"  --backend-option {policy.name}.{field}={plain(value)}")


def print_models() -> None:
    """Print the forms of --model."""
    console = _console()
    console.print(f"families: {', '.join(FAMILIES)}; rotary scaling: {', '.join(ROPE_TYPES)}")
    for form, meaning in _FORMS:
        console.print(f"  {form:<20}{meaning}")
    console.print("hyperscale models MODEL inspects one; remote code is never run")


def print_model(model: str, revision: str | None) -> None:
    """Print a model's shape and the bytes of its KV cache, from its config alone."""
    from hyperscale.model.load import load_spec

    spec = load_spec(model, revision)
    per_token = 2 * spec.layers * spec.kv_heads * spec.head_dim
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in (
        ("family", spec.family),
        ("layers", spec.layers),
        ("hidden", spec.hidden),
        ("heads", f"{spec.heads} query, {spec.kv_heads} KV, of {spec.head_dim}"),
        ("vocabulary", f"{spec.vocab:,}"),
        ("longest sequence", f"{format_tokens(spec.max_length)} tokens"),
        ("KV cache a token", f"{format_bytes(2 * per_token)} in 16 bit, {format_bytes(4 * per_token)} in float32"),
    ):
        table.add_row(name, str(value))
    if spec.gates is not None:
        table.add_row("gates", _gates(spec.gates))
    family = family_of(model)
    if family is not None:
        table.add_row("retrofits", ", ".join(f"{backend} CR {ratio:g}" for backend, ratio in family.members))
    _console().print(table)


def _gates(gates: GateSpec) -> str:
    trained = "ratio unknown" if gates.ratio is None else f"ratio {gates.ratio:g}"
    return (
        f"{gates.form}, {trained}, window {format_tokens(gates.window)} tokens, decision shift {gates.decision_shift}, "
        f"scale {gates.scale:g}, bias {gates.bias:g}" + (", immediate" if gates.immediate else "")
    )


def _console() -> Console:
    """Make a console that prints names as they are, with their brackets and colons."""
    return Console(highlight=False, markup=False, emoji=False)


def _source(task: Task) -> str:
    if task.generator is not None:
        return f"generated: {task.problems}"
    if task.adapter is not None and ADAPTERS[task.adapter].generates:
        return "generated"
    return f"{task.hub_id}@{(task.revision or '')[:8]}" if task.hub_id else f"own: {task.rows}"


def _frontier(report: Report, axis: str, title: str) -> Table:
    table = Table(title=f"Pareto frontier: accuracy against {title}", title_justify="left")
    for column in ("task", "backend", "W", "L", title, "accuracy", "95 % interval"):
        table.add_column(column, justify="left" if column in ("task", "backend") else "right")
    best = report.frontiers[report.frontiers["axis"] == axis]
    rows = best.merge(report.points[[*POINT_KEY, "accuracy_low", "accuracy_high"]], on=list(POINT_KEY)).sort_values(
        ["task", "backend", "cost"]
    )
    for row in records(rows):
        table.add_row(
            row["task"],
            row["backend"] + ("" if row["compression_ratio"] == 1 else f" CR {row['compression_ratio']:g}"),
            str(row["width"]),
            format_tokens(row["length"]),
            f"{row['cost']:,.0f}",
            f"{row['accuracy']:.3f}",
            "" if row["accuracy_low"] is None else f"{row['accuracy_low']:.3f} to {row['accuracy_high']:.3f}",
        )
    return table
