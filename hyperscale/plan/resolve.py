"""Resolve a config, once, into the plan that everything downstream works from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Any

from hyperscale.backends import backend_class
from hyperscale.backends.settings import make_settings
from hyperscale.config import SweepConfig
from hyperscale.engines import ENGINES, TORCH
from hyperscale.model.source import Family, family_of
from hyperscale.plan.preflight import check_backends, check_engine, check_run
from hyperscale.plan.runs import Run, length_caps, make_run
from hyperscale.plugins import Origin
from hyperscale.text import format_tokens

if TYPE_CHECKING:
    from hyperscale.model.spec import ModelSpec

LoadSpec = Callable[[str, str | None], "ModelSpec"]
"""(model, revision) to its spec; ValueError where it cannot be loaded."""


@dataclass(frozen=True)
class Plan:
    """A resolved sweep: its runs, the parts of the grid left out, and why the model's config is missing, if it is."""

    config: SweepConfig
    runs: tuple[Run, ...] = ()
    left_out: tuple[str, ...] = ()
    """Budgets that a backend does not support and ratios without gates, a line each."""
    unknown_model: str | None = None
    """Why runs have no spec; None where they have one."""

    @cached_property
    def family(self) -> Family | None:
        """Family that --model names, if any."""
        return family_of(self.config.model)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """The config's identity as JSON values, a plugin engine by its origin instead of its path."""
        named = self.config.identity()
        if (origin := self.engine_origin) is not None:
            named["engine"] = asdict(origin)
        return named

    @property
    def engine_name(self) -> str:
        """Name of the engine as in results tables."""
        return self.config.engine if self.engine_origin is None else self.engine_origin.name

    @cached_property
    def engine_origin(self) -> Origin | None:
        """Where a plugin's engine comes from; None of a built-in one."""
        return None if self.config.engine == TORCH else ENGINES.origin(self.config.engine)

    def runs_from(self, least: int) -> tuple[Run, ...]:
        """Return the runs of a task that nothing can be solved of below L = `least`, without those points."""
        return tuple(part for run in self.runs if (part := run.from_length(least)) is not None)

    def require_model(self) -> None:
        """Raise ValueError where the model's config could not be loaded."""
        if self.unknown_model is not None:
            raise ValueError(self.unknown_model)

    def at_revision(self, revision: str | None) -> Plan:
        """Pin a hub model's commit. A family names its original's itself and stays as it is."""
        if self.family is not None or revision is None:
            return self
        return replace(self, config=self.config.model_copy(update={"revision": revision}))


def resolve(config: SweepConfig, load_spec: LoadSpec | None = None) -> Plan:
    """Resolve the runs that cover the grid of `config`, whatever the task, and refuse what cannot be run.

    Vanilla needs one run. A gated backend needs one for each CR that gates were trained for: a checkpoint's own, or
    all that a family has. A backend bound to a budget B = L / CR needs one for each distinct B, which covers every
    (L, CR) of that budget: its chain does not depend on L and is truncated at each. Any other needs one for each CR.

    Only the model's config is read (`load_spec`, else from disk or the hub). Where that fails the runs have no spec;
    ValueError if a backend needs the model's gates. ValueError, too, where a backend is unknown, a budget is no whole
    number of tokens, a backend supports none of the budgets, or the model does not support what is asked.
    """
    check_engine(config)
    check_backends(config)
    resolver = _Resolver(config, load_spec or _load_spec)
    runs = tuple(run for source in config.backends for run in resolver.runs(source))
    for run in runs:
        check_run(run, config)
    return Plan(config, runs, tuple(resolver.left_out), resolver.unknown_model)


def _load_spec(model: str, revision: str | None) -> ModelSpec:
    from hyperscale.model.load import load_spec

    return load_spec(model, revision)


class _Resolver:
    """Resolves the runs of one config; loads each checkpoint's spec once."""

    def __init__(self, config: SweepConfig, load_spec: LoadSpec) -> None:
        self.left_out: list[str] = []
        self.unknown_model: str | None = None
        self._config, self._load_spec = config, load_spec
        self._family = family_of(config.model)
        self._specs: dict[str, ModelSpec] = {}

    def runs(self, source: str) -> Iterator[Run]:
        """Yield the runs of one backend."""
        config, policy = self._config, backend_class(source)
        options = config.options_of(policy.name)
        if policy.name == "vanilla":
            yield self._run(source, 1.0, config.grid)
        elif policy.knows_length:
            budgets = _budgets(config)
            refused = self._refused(source, budgets)
            if len(refused) == len(budgets):
                raise ValueError(next(iter(refused.values())))
            for budget, lengths in sorted(budgets.items()):
                if budget in refused:
                    served = ", ".join(map(format_tokens, sorted(lengths)))
                    self.left_out.append(
                        f"{policy.name} at B = {format_tokens(budget)} (L {served}): {refused[budget]}"
                    )
                    continue
                points = tuple(point for point in config.grid if point[1] in lengths)
                caps = length_caps(points, config.pool)
                yield make_run(source, None, budget, caps, points, options, spec=self._spec_of(None))
        else:
            ratios = self._trained(source) if policy.gated else config.compression_ratios
            missing = sorted(set(config.compression_ratios) - set(ratios))
            self.left_out += [f"{policy.name} at CR {ratio:g}: no gates were trained for it" for ratio in missing]
            for ratio in ratios:
                yield self._run(source, ratio, config.grid)

    def _run(self, source: str, ratio: float, points: tuple[tuple[int, int], ...]) -> Run:
        name = backend_class(source).name
        own = None if self._family is None else self._family.members.get((name, ratio))
        spec = self._spec_of(own)
        if own is not None and spec is not None and (spec.gates is None or spec.gates.ratio != ratio):
            raise ValueError(
                f"{own}: its gates are not of ratio {ratio:g}, as {self._config.model} says: correct family.json"
            )
        caps, options = length_caps(points, self._config.pool), self._config.options_of(name)
        return make_run(source, ratio, None, caps, points, options, checkpoint=own, spec=spec)

    def _spec_of(self, checkpoint: str | None) -> ModelSpec | None:
        """Load the spec of a family's checkpoint, else of the model; None where the model's fails, the reason kept."""
        try:
            return self._known_spec(checkpoint)
        except ValueError as error:
            if checkpoint is not None:
                raise
            self.unknown_model = str(error)
            return None

    def _known_spec(self, checkpoint: str | None) -> ModelSpec:
        name = checkpoint or self._config.model
        if checkpoint is None and self.unknown_model is not None:
            raise ValueError(self.unknown_model)  # Ask a hub once.
        if name not in self._specs:
            self._specs[name] = self._load_spec(name, None if checkpoint else self._config.revision)
        return self._specs[name]

    def _refused(self, source: str, budgets: Iterable[int]) -> dict[int, str]:
        """Return the budgets that a backend does not support, and why."""
        policy = backend_class(source)
        settings = make_settings(policy, self._config.options_of(policy.name))
        refused = {}
        for budget in sorted(budgets):
            try:
                policy.check_budget(budget, settings)
            except ValueError as error:
                refused[budget] = str(error)
        return refused

    def _trained(self, source: str) -> tuple[float, ...]:
        """Return those of --cr that have trained gates: one for a checkpoint, one or more for a family."""
        config, policy = self._config, backend_class(source)
        asked = ", ".join(f"{ratio:g}" for ratio in config.compression_ratios)
        if self._family is not None:
            ratios = self._family.ratios(policy.name)
            if chosen := [ratio for ratio in config.compression_ratios if ratio in ratios]:
                return tuple(chosen)
            have = ", ".join(f"{ratio:g}" for ratio in ratios)
            raise ValueError(
                f"--cr {asked}: {config.model} has "
                + (f"{policy.name} checkpoints for {have} only" if have else f"no checkpoint for --backends {source}")
            )
        gates = self._known_spec(None).gates
        policy.check_gates(gates)
        ratio = None if gates is None else gates.ratio
        if ratio is None and len(config.compression_ratios) == 1:
            return config.compression_ratios
        if ratio is None:
            raise ValueError(
                f"--cr {asked}: {config.model} does not say what ratio its gates were trained for; name that one"
            )
        if ratio not in config.compression_ratios:
            raise ValueError(
                f"--cr {asked}: the gates of {config.model} were trained for {ratio:g}; {policy.name} needs "
                f"--cr {ratio:g}"
            )
        return (float(ratio),)


def _budgets(config: SweepConfig) -> dict[int, set[int]]:
    """Return every B = L / CR of the grid, with the lengths that it serves."""
    budgets: dict[int, set[int]] = {}
    for length, ratio in product(config.lengths, config.compression_ratios):
        # Exact: 33 / 1.1 is 30 tokens, but not in floats.
        budget = length / Fraction(str(ratio))
        if budget.denominator != 1:
            raise ValueError(
                f"--cr {ratio:.15g} at L = {format_tokens(length)} is a budget of {length / ratio:,.6g} tokens: "
                "L / CR must be a whole number; change --cr or --lengths"
            )
        budgets.setdefault(int(budget), set()).add(length)
    return budgets
