"""Runs in this process, on one device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from hyperscale.backends import backend_class
from hyperscale.config import SweepConfig
from hyperscale.engines.base import Engine
from hyperscale.executors.base import InProcess
from hyperscale.model.chat import encode_prompt, text_and_ends
from hyperscale.model.family import checkpoint_of
from hyperscale.model.weights import weights_sha
from hyperscale.plan.runs import Run, plan_runs
from hyperscale.tasks.task import Problem
from hyperscale.text import format_tokens

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

    from hyperscale.model.load import Model
    from hyperscale.model.spec import ModelSpec

_THINK = "<think>"


class LocalExecutor(InProcess):
    """Loads the model of `config` and builds a torch engine for each run.

    Of a family it holds one checkpoint at a time: the original first, then what each run needs.
    """

    def __init__(self, config: SweepConfig, *, share: float = 1.0) -> None:
        """`share` is the part of the device that is this process's, where others use the rest."""
        check_model(config)
        self._config, self._share = config, share
        self._name, self._model = config.model, self._load(config.model)
        self._tokenizer, self._identity = self._model.tokenizer, _identity(self._model)
        check_memory(config, self._model.decoder.embed.dtype)

    @staticmethod
    def check(config: SweepConfig, *, needed: bool) -> None:
        """ValueError if the model's own config rules the sweep out, or, where it is `needed`, cannot be had."""
        from hyperscale.model.load import load_spec

        try:
            load_spec(config.model, config.revision)
        except ValueError:
            # A sweep whose chains are all there needs no model; one that does will say what is wrong with it.
            if needed:
                raise
            return
        check_model(config)

    def identity(self) -> dict[str, Any]:
        """Revision that the hub resolved, dtype that "auto" became, hashes of chat template and weights."""
        return self._identity

    def run_identity(self, run: Run) -> dict[str, Any]:
        """Gates and hash of the weights of the run's own checkpoint."""
        if checkpoint_of(self._config.model, run.backend, run.compression_ratio) == self._config.model:
            return {}
        found = _identity(self._model_of(run))
        return {name: found[name] for name in ("resolved_dtype", "weights_sha", "gates")}

    def prompt_tokens(self, problem: Problem) -> tuple[int, ...]:
        """The problem's chat prompt, tokenized."""
        return tuple(encode_prompt(self._tokenizer, problem.prompt, problem.system))

    def text(self, tokens: Sequence[int]) -> tuple[str, list[int]]:
        """Generated tokens as text, and the characters that stand after each."""
        return text_and_ends(self._tokenizer, tokens)

    def engine(self, run: Run) -> Engine:
        """Torch engine of the run's backend, its batch sized to --memory-budget for the run's largest cap."""
        from hyperscale.engines.torch.engine import TorchEngine

        return TorchEngine(
            self._model_of(run),
            backend=run.backend,
            options=dict(run.options),
            cache_budget=run.cache_budget,
            sampling=self._config.sampling(),
            memory_budget=self._memory_budget(),
            max_batch=self._config.max_batch,
            batch_invariant=self._config.batch_invariant,
            length_cap=max(run.length_caps),
        )

    def _memory_budget(self) -> int | None:
        """None leaves it to the engine, which takes what is free."""
        if self._config.memory_budget is not None or self._share >= 1:
            return self._config.memory_budget
        from hyperscale.hardware.memory import lent_bytes

        return lent_bytes(self._model.decoder.embed.device, self._share)

    def _model_of(self, run: Run) -> Model:
        name = checkpoint_of(self._config.model, run.backend, run.compression_ratio)
        if name != self._name:
            del self._model  # The next one may need its memory.
            self._name, self._model = name, self._load(name)
        return self._model

    def _load(self, name: str) -> Model:
        from hyperscale.model.load import load_model

        config = self._config
        revision = config.revision if name == config.model else None
        return load_model(name, revision=revision, dtype=config.dtype, device=config.device)


def _identity(model: Model) -> dict[str, Any]:
    return {
        "resolved_revision": model.revision,
        "resolved_dtype": str(model.decoder.embed.dtype).removeprefix("torch."),
        "chat_template_sha": model.chat_template_sha,
        "answer_prefix": answer_prefix(model.tokenizer),
        "weights_sha": weights_sha(model.decoder),
        "gates": None if model.spec.gates is None else asdict(model.spec.gates),
    }


def answer_prefix(tokenizer: PreTrainedTokenizerBase) -> str:
    """The reasoning tag that the chat template itself puts before an answer, or ""."""
    return _THINK if tokenizer.decode(encode_prompt(tokenizer, "?")).rstrip().endswith(_THINK) else ""


def check_model(config: SweepConfig) -> None:
    """ValueError if the sweep asks for lengths, or for decisions of a backend, that the model was not made for."""
    for run, spec in run_specs(config):
        backend_class(run.backend).check_gates(spec.gates)
        longest = max(config.lengths)
        if longest > spec.max_length:
            raise ValueError(
                f"L = {format_tokens(longest)} is beyond the {format_tokens(spec.max_length)} positions of "
                f"{config.model}: lower --lengths or --budget"
            )
    if config.dtype != "auto":
        import torch

        check_memory(config, getattr(torch, config.dtype))


def check_memory(config: SweepConfig, dtype: torch.dtype) -> None:
    """ValueError if --memory-budget does not hold one thread of every run."""
    from hyperscale.backends.memory import block_bounds_for, cache_shape, pool_blocks

    if config.memory_budget is None:
        return
    for run, spec in run_specs(config):
        shape = cache_shape(spec, dtype, backend_class(run.backend))
        reserve = block_bounds_for(spec, run.backend, dict(run.options), run.cache_budget)
        pool_blocks(shape, config.memory_budget, config.max_batch, max(run.length_caps), reserve)


def run_specs(config: SweepConfig) -> Iterator[tuple[Run, ModelSpec]]:
    """Each run with the spec of the checkpoint that it runs. ValueError where a family's member is not what it says."""
    from hyperscale.model.load import load_spec

    specs: dict[str, ModelSpec] = {}
    for run in plan_runs(config):
        name = checkpoint_of(config.model, run.backend, run.compression_ratio)
        if name not in specs:  # A hub is asked once.
            specs[name] = load_spec(name, config.revision if name == config.model else None)
        spec = specs[name]
        if name != config.model and (spec.gates is None or spec.gates.ratio != run.compression_ratio):
            raise ValueError(f"{name}: its gates are not of ratio {run.compression_ratio:g}, as {config.model} says")
        yield run, spec
