"""Runs in this process, on one device."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from hyperscale.backends import backend_class
from hyperscale.config import SweepConfig
from hyperscale.engines.base import Engine
from hyperscale.grid import Run, plan_runs
from hyperscale.model.chat import encode_prompt, text_and_ends
from hyperscale.sizes import format_tokens
from hyperscale.tasks import Problem

if TYPE_CHECKING:
    import torch
    from torch import nn

    from hyperscale.model.spec import ModelSpec

_HASHED_VALUES = 64
_THINK = "<think>"


class LocalExecutor:
    """Loads the model of `config` once and builds a torch engine for each run."""

    def __init__(self, config: SweepConfig) -> None:
        from hyperscale.model.load import load_model, load_spec

        check_model(config, load_spec(config.model, config.revision))
        self._config = config
        self._model = load_model(config.model, revision=config.revision, dtype=config.dtype, device=config.device)
        check_memory(config, self._model.spec, self._model.decoder.embed.dtype)

    @staticmethod
    def check(config: SweepConfig, *, needed: bool) -> None:
        """ValueError if the model's own config rules the sweep out, or, where it is `needed`, cannot be had."""
        from hyperscale.model.load import load_spec

        try:
            spec = load_spec(config.model, config.revision)
        except ValueError:
            # A sweep whose chains are all there needs no model; one that does will say what is wrong with it.
            if needed:
                raise
            return
        check_model(config, spec)

    def identity(self) -> dict[str, Any]:
        """Revision that the hub resolved, dtype that "auto" became, hashes of chat template and weights."""
        prompt = encode_prompt(self._model.tokenizer, "?")
        opened = self._model.tokenizer.decode(prompt).rstrip().endswith(_THINK)
        dtype = next(self._model.decoder.parameters()).dtype
        return {
            "resolved_revision": self._model.revision,
            "resolved_dtype": str(dtype).removeprefix("torch."),
            "chat_template_sha": self._model.chat_template_sha,
            "answer_prefix": _THINK if opened else "",
            "weights_sha": weights_sha(self._model.decoder),
            "gates": None if self._model.spec.gates is None else asdict(self._model.spec.gates),
        }

    def prompt_tokens(self, problem: Problem) -> tuple[int, ...]:
        """The problem's chat prompt, tokenized."""
        return tuple(encode_prompt(self._model.tokenizer, problem.prompt, problem.system))

    def text(self, tokens: Sequence[int]) -> tuple[str, list[int]]:
        """Generated tokens as text, and the characters that stand after each."""
        return text_and_ends(self._model.tokenizer, tokens)

    def engine(self, run: Run) -> Engine:
        """Torch engine of the run's backend, its batch sized to --memory-budget for the run's largest cap."""
        from hyperscale.engines.torch_engine import TorchEngine

        return TorchEngine(
            self._model,
            backend=run.backend,
            options=dict(run.options),
            cache_budget=run.cache_budget,
            sampling=self._config.sampling(),
            memory_budget=self._config.memory_budget,
            max_batch=self._config.max_batch,
            batch_invariant=self._config.batch_invariant,
            length_cap=max(run.length_caps),
        )


def check_model(config: SweepConfig, spec: ModelSpec) -> None:
    """ValueError if the sweep asks for lengths, or for decisions of a backend, that the model was not made for."""
    for backend in config.backends:
        backend_class(backend).check_gates(spec.gates)
    longest = max(config.lengths)
    if longest > spec.max_length:
        raise ValueError(
            f"L = {format_tokens(longest)} is beyond the {format_tokens(spec.max_length)} positions of "
            f"{config.model}: lower --lengths or --budget"
        )
    if config.dtype != "auto":
        import torch

        check_memory(config, spec, getattr(torch, config.dtype))


def check_memory(config: SweepConfig, spec: ModelSpec, dtype: torch.dtype) -> None:
    """ValueError if --memory-budget does not hold one thread of every run."""
    from hyperscale.engines.memory import cache_shape, pool_pages, reserve_for

    if config.memory_budget is None:
        return
    for run in plan_runs(config):
        shape = cache_shape(spec, dtype, backend_class(run.backend))
        reserve = reserve_for(spec, run.backend, dict(run.options), run.cache_budget)
        pool_pages(shape, config.memory_budget, config.max_batch, max(run.length_caps), reserve)


def weights_sha(decoder: nn.Module) -> str:
    """Digest of a few values of every weight: tells a retrained checkpoint from the one it replaced."""
    digest = hashlib.sha256()
    for weight in decoder.parameters():
        flat = weight.detach().flatten()
        digest.update(flat[:: max(1, len(flat) // _HASHED_VALUES)].float().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
