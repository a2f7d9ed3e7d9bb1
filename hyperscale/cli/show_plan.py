"""Print what a sweep would cost, before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from hyperscale.config import SweepConfig
from hyperscale.hardware.devices import number_bytes
from hyperscale.kvcache.block_pool import blocks_for
from hyperscale.plan.cost import Assumptions, planned_dtype
from hyperscale.plan.estimate import estimate, estimate_lines, estimate_table
from hyperscale.plan.preflight import load, no_prompt_fits
from hyperscale.plan.resolve import Plan, resolve
from hyperscale.plan.runs import Run
from hyperscale.tasks.checks import check_task_options, chosen_for
from hyperscale.tasks.load import load_task
from hyperscale.text import format_bytes, format_tokens

TABLE_WIDTH = 132
"""Least width of the estimates' table, in columns."""


@dataclass(frozen=True)
class CacheCost:
    """Bytes of KV cache that one token takes in all layers, or why they are unknown."""

    token_bytes: int | None
    note: str
    dtype: str = "bfloat16"

    def of(self, tokens: int) -> str:
        """Format the bytes of `tokens`."""
        return "unknown" if self.token_bytes is None else format_bytes(tokens * self.token_bytes)


def cache_cost(plan: Plan) -> CacheCost:
    """Compute 2 (key, value) x layers x KV heads x head dimension x bytes a number, from the model's config alone."""
    spec = plan.runs[0].spec
    if spec is None:
        return CacheCost(None, f"bytes: unknown ({plan.unknown_model})")
    dtype = planned_dtype(plan.config)
    token_bytes = 2 * spec.layers * spec.kv_heads * spec.head_dim * number_bytes(dtype)
    assumed = ", assumed for --dtype auto" if plan.config.dtype == "auto" else ""
    return CacheCost(
        token_bytes,
        f"KV cache: {format_bytes(token_bytes)} a token ({spec.layers} layers x {spec.kv_heads} KV heads x "
        f"{spec.head_dim} x 2 in {dtype}{assumed})",
        dtype,
    )


def resolve_and_print(config: SweepConfig, **assumed: Any) -> None:
    """Print the plan of a config under the assumptions that are given; ValueError where either is refused."""
    assumptions = Assumptions(**assumed)
    print_plan(resolve(config), count_problems(config), assumptions)


def print_plan(plan: Plan, problems: dict[str, int | None], assumed: Assumptions | None = None) -> None:
    """Print points, the runs that cover them, tokens and bytes on stdout; estimates, too, where the model is known.

    `problems`: number of each task's problems, None if unknown.
    """
    config, runs, cost = plan.config, plan.runs, cache_cost(plan)
    assumed = assumed or Assumptions()
    specs = {run: run.spec for run in runs if run.spec is not None}
    found = estimate(config, specs, cost.dtype, problems, assumed) if specs else None
    console = Console(highlight=False, markup=False, emoji=False)
    for table in (_points(config), *(_run(config, run, cost) for run in runs)):
        console.print(table)
    left_out = (f"left out: {line}" for line in plan.left_out)
    for line in (*left_out, *_tasks(plan, problems), *_prompts(config), cost.note, _batch(config)):
        console.print(line, soft_wrap=True)
    if found is not None:
        # A terminal may fold lines; a truncated table would mislead.
        wide = Console(highlight=False, markup=False, emoji=False, width=max(console.width, TABLE_WIDTH))
        wide.print(estimate_table(found))
        for line in estimate_lines(config, found, cost.dtype, assumed):
            console.print(line, soft_wrap=True)


def batch_threads(config: SweepConfig, run: Run, dtype: str) -> int | None:
    """Count the threads at the run's largest L that --memory-budget holds, at most --max-batch; None if unknown."""
    import torch

    from hyperscale.backends import memory

    if config.memory_budget is None or run.spec is None:
        return None
    shape = memory.cache_shape(run.spec, getattr(torch, dtype), run.policy)
    reserve = memory.block_bounds_for(run.spec, run.policy, run.settings, run.cache_budget)
    return memory.batch_threads(shape, config.memory_budget, config.max_batch, run.length_cap, reserve)


def count_problems(config: SweepConfig) -> dict[str, int | None]:
    """Count each task's problems without asking a hub; None if unknown, an upper bound under --limit."""
    tasks = [load_task(name) for name in config.tasks]
    check_task_options(tasks, config.task_options)
    counts: dict[str, int | None] = {}
    for task in tasks:
        if config.data is not None or task.hub_id is None:
            counts[task.name] = len(load(task, config).problems)
        else:
            # An option may drop or add problems: only the rows tell.
            known = None if chosen_for(task, config.task_options) else task.problems
            asked = [config.limit, len(config.problem_ids) or None, known]
            counts[task.name] = min((count for count in asked if count is not None), default=None)
    return counts


def _points(config: SweepConfig) -> Table:
    points = set(config.grid)
    widths = sorted({width for width, _ in points})
    table = Table(title=f"{len(points)} points", title_justify="left")
    table.add_column("L \\ W", justify="right")
    for width in widths:
        table.add_column(str(width), justify="center")
    for length in config.lengths:
        table.add_row(format_tokens(length), *("x" if (width, length) in points else "" for width in widths))
    return table


def _run(config: SweepConfig, run: Run, cost: CacheCost) -> Table:
    table = Table(title=f"run: {run.name}", title_justify="left", show_header=False)
    table.add_row("covers", f"{len(run.points)} points{_covered(run)}")
    table.add_row("threads a problem", f"{len(run.length_caps)}: {run.describe_caps()} (threads x cap on L)")
    table.add_row("tokens a problem", f"at most {run.max_tokens:,}, prompts included")
    table.add_row("saved", f"{run.separate_tokens / run.max_tokens:.1f} x fewer than point by point "
                  f"({run.separate_tokens:,})")  # fmt: skip
    held = max(run.length_caps)
    policy = run.policy
    tokens = policy.row_tokens(held, run.cache_budget)
    beside = blocks_for(tokens) * policy.block_overhead
    note = ", uncompressed" if tokens == held else ""
    table.add_row("KV cache of a thread", f"at most {cost.of(tokens + beside)}{note}")
    if (threads := batch_threads(config, run, cost.dtype)) is not None:
        table.add_row("threads at once", f"{threads}, at L = {format_tokens(held)}")
    return table


def _covered(run: Run) -> str:
    """List the (L, CR) that a budget serves."""
    if run.cache_budget is None:
        return ""
    lengths = sorted({length for _, length in run.points})
    return ": " + ", ".join(f"L {format_tokens(length)} at CR {length / run.cache_budget:g}" for length in lengths)


def _tasks(plan: Plan, problems: dict[str, int | None]) -> Iterator[str]:
    least = {task.name: task.min_length for task in map(load_task, plan.config.tasks)}
    for task, count in problems.items():
        a_problem = sum(run.max_tokens for run in plan.runs_from(least[task]))
        part = f" (from L = {format_tokens(least[task])} on)" if least[task] > min(plan.config.lengths) else ""
        if count is None:
            yield f"{task}{part}: number of problems unknown; at most {a_problem:,} tokens each"
        else:
            yield f"{task}{part}: {count:,} problems, at most {count * a_problem:,} tokens in all"


def _prompts(config: SweepConfig) -> Iterator[str]:
    """Say which L leave prompts no room, of tasks whose rows and tokenizer are at hand; no hub is asked for either."""
    from hyperscale.model.source import family_of, local_path

    family = family_of(config.model)
    model = config.model if family is None else family.original
    if not local_path(model).exists():
        return
    from hyperscale.model.chat import encode_prompt
    from hyperscale.model.load import load_text

    try:
        tokenizer = load_text(model, config.revision).tokenizer
    except ValueError as error:  # A folder may hold a config alone: enough for all but this.
        yield f"prompts: unknown ({error})"
        return
    for task in (load_task(name) for name in config.tasks):
        if config.data is None and task.hub_id is not None:
            continue
        problems = load(task, config).problems
        prompts = [len(encode_prompt(tokenizer, problem.prompt, problem.system)) for problem in problems]
        yield f"{task.name}: prompts of {min(prompts):,} to {max(prompts):,} tokens"
        if min(prompts) >= max(config.lengths):
            yield f"error: {no_prompt_fits(task.name, prompts, max(config.lengths))}"
            continue
        for length in config.lengths:
            fit = sum(prompt < length for prompt in prompts)
            if fit < len(prompts):
                yield (
                    f"{task.name}: at L = {format_tokens(length)} {fit:,} of {len(prompts):,} prompts leave room: its "
                    "points will be on no frontier"
                )


def _batch(config: SweepConfig) -> str:
    if config.memory_budget is None:
        return f"batch: up to {config.max_batch} threads; --memory-budget sets what their KV cache may take"
    held = format_bytes(config.memory_budget)
    return f"batch: what --memory-budget {held} holds, at most --max-batch {config.max_batch} threads"
