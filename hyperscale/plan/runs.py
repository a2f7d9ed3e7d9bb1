"""From --budget or --widths and --lengths to W-L points, and to the fewest tokens that cover them.

One run covers many points. W is read off a pool of threads afterwards, and L wherever the backend does not
know it: a chain cut at L is exactly the chain that a cap of L gives. So each thread is generated once, up to
the largest L at which any point asks for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

from hyperscale.backends import backend_class
from hyperscale.backends.settings import make_settings
from hyperscale.config import OptionValue, SweepConfig
from hyperscale.plan.grid import Point, length_caps
from hyperscale.plan.preflight import check_backends
from hyperscale.text import format_tokens


@dataclass(frozen=True)
class Run:
    """What is generated for each problem of a task: threads under one backend setting, and their points."""

    backend: str
    compression_ratio: float | None
    """Nominal CR; None where a budget is what is given, and CR = L / B follows from each L."""
    cache_budget: int | None
    """KV budget B in tokens a row of a backend that is bound to one; None elsewhere."""
    length_caps: tuple[int, ...]
    """Cap on each thread's sequence, in tokens, prompt included; never rising with the thread's index."""
    points: tuple[Point, ...]
    options: tuple[tuple[str, OptionValue], ...] = ()
    """The backend's settings that are not its defaults, sorted."""

    @property
    def name(self) -> str:
        """`vanilla`, `dms CR 4`, `tova B 2k`."""
        if self.cache_budget is not None:
            return f"{self.backend} B {format_tokens(self.cache_budget)}"
        return self.backend if self.compression_ratio == 1 else f"{self.backend} CR {self.compression_ratio:g}"

    @property
    def ratios(self) -> tuple[float, ...]:
        """Every CR of its points, ascending."""
        if self.cache_budget is None:
            assert self.compression_ratio is not None
            return (self.compression_ratio,)
        return tuple(sorted({length / self.cache_budget for _, length in self.points}))

    @property
    def max_tokens(self) -> int:
        """Upper bound on tokens of one problem, prompts included."""
        return sum(self.length_caps)

    @property
    def separate_tokens(self) -> int:
        """The same bound if every point were generated on its own."""
        return sum(width * length for width, length in self.points)

    def pool(self, length: int) -> int:
        """Threads that a problem has at L = `length`."""
        return sum(cap >= length for cap in self.length_caps)

    def describe_caps(self) -> str:
        """`1 x 64k, 1 x 32k, 2 x 16k`: threads by cap."""
        counts = Counter(self.length_caps)
        return ", ".join(f"{counts[cap]} x {format_tokens(cap)}" for cap in sorted(counts, reverse=True))


def plan_runs(config: SweepConfig) -> tuple[Run, ...]:
    """The runs that cover the grid of `config`, whatever the task.

    Vanilla needs one. A gated backend needs one for each CR that gates were trained for: a checkpoint's own, or all
    that a family has.

    A backend bound to a budget B = L / CR needs a run for each distinct B, which covers every (L, CR) of that
    budget: its chain does not depend on L, so that it is cut at each. Any other backend needs one for each CR.
    ValueError where a budget is no whole number of tokens, or the backend can work with none; `left_out` names those
    that it cannot.
    """
    check_backends(config)
    return tuple(run for backend in config.backends for run in _runs(config, backend))


def _runs(config: SweepConfig, backend: str) -> Iterator[Run]:
    options = tuple(sorted(config.options_of(backend).items()))
    if backend == "vanilla":
        yield Run(backend, 1.0, None, length_caps(config.grid, config.pool), config.grid, options)
    elif not backend_class(backend).knows_length:
        gated = backend_class(backend).gated
        for ratio in _trained_ratios(config, backend) if gated else config.compression_ratios:
            yield Run(backend, ratio, None, length_caps(config.grid, config.pool), config.grid, options)
    else:
        budgets = _budgets(config)
        refused = _refused(config, backend, budgets)
        if len(refused) == len(budgets):
            raise ValueError(next(iter(refused.values())))
        for budget, lengths in sorted(budgets.items()):
            if budget in refused:
                continue
            points = tuple(point for point in config.grid if point[1] in lengths)
            yield Run(backend, None, budget, length_caps(points, config.pool), points, options)


def left_out(config: SweepConfig) -> list[str]:
    """What of the grid is not run, a line each: budgets that a backend cannot work with, ratios without gates."""
    lines = []
    for backend in config.backends:
        policy = backend_class(backend)
        if policy.knows_length and backend != "vanilla":
            for budget, why in _refused(config, backend, budgets := _budgets(config)).items():
                lengths = ", ".join(map(format_tokens, sorted(budgets[budget])))
                lines.append(f"{backend} at B = {format_tokens(budget)} (L {lengths}): {why}")
        elif policy.gated:
            missing = set(config.compression_ratios) - set(_trained_ratios(config, backend))
            lines += [f"{backend} at CR {ratio:g}: no gates were trained for it" for ratio in sorted(missing)]
    return lines


def _refused(config: SweepConfig, backend: str, budgets: Iterable[int]) -> dict[int, str]:
    """Budgets that a backend cannot work with, and why."""
    settings = make_settings(backend, config.options_of(backend))
    refused = {}
    for budget in sorted(budgets):
        try:
            backend_class(backend).check_budget(budget, settings)
        except ValueError as error:
            refused[budget] = str(error)
    return refused


def _trained_ratios(config: SweepConfig, backend: str) -> tuple[float, ...]:
    """Those of --cr that there are trained gates for: of a checkpoint one, of a family perhaps several."""
    from hyperscale.model.family import family_of
    from hyperscale.model.load import load_spec

    asked = ", ".join(f"{ratio:g}" for ratio in config.compression_ratios)
    family = family_of(config.model)
    if family is not None:
        if chosen := [ratio for ratio in config.compression_ratios if ratio in family.ratios(backend)]:
            return tuple(chosen)
        have = ", ".join(f"{ratio:g}" for ratio in family.ratios(backend))
        raise ValueError(
            f"--cr {asked}: {config.model} has "
            + (f"{backend} checkpoints for {have} only" if have else f"no checkpoint for --backends {backend}")
        )
    gates = load_spec(config.model, config.revision).gates
    backend_class(backend).check_gates(gates)
    ratio = None if gates is None else gates.ratio
    if ratio is None and len(config.compression_ratios) == 1:
        return config.compression_ratios
    if ratio is None:
        raise ValueError(
            f"--cr {asked}: {config.model} does not say what ratio its gates were trained for; name that one"
        )
    if ratio not in config.compression_ratios:
        raise ValueError(
            f"--cr {asked}: the gates of {config.model} were trained for {ratio:g}; {backend} needs --cr {ratio:g}"
        )
    return (float(ratio),)


def _budgets(config: SweepConfig) -> dict[int, set[int]]:
    """Every B = L / CR of the grid, with the lengths that it serves."""
    budgets: dict[int, set[int]] = {}
    for length, ratio in product(config.lengths, config.compression_ratios):
        # As the user wrote it: 33 / 1.1 is 30 tokens, whatever floats make of it.
        budget = length / Fraction(str(ratio))
        if budget.denominator != 1:
            raise ValueError(
                f"--cr {ratio:.15g} at L = {format_tokens(length)} is a budget of {length / ratio:,.6g} tokens: "
                "L / CR must be a whole number"
            )
        budgets.setdefault(int(budget), set()).add(length)
    return budgets
