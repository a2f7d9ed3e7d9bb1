"""Runs in this process, on one device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from hyperscale.engines.base import Engine
from hyperscale.executors.base import InProcess
from hyperscale.model.chat import encode_prompt, text_and_ends
from hyperscale.model.weights import weights_sha
from hyperscale.plan.preflight import check_memory
from hyperscale.plan.resolve import Plan
from hyperscale.plan.runs import Run
from hyperscale.tasks.task import Problem

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from hyperscale.model.load import Model

_THINK = "<think>"


class LocalExecutor(InProcess):
    """Loads the model of a plan and builds a torch engine for each run.

    Of a family it holds one checkpoint at a time: the original first, then what each run needs.
    """

    def __init__(self, plan: Plan, *, share: float = 1.0) -> None:
        """`share` is the part of the device that is this process's, where others use the rest."""
        self._config, self._share = plan.config, share
        self._name, self._model = plan.config.model, self._load(plan.config.model)
        self._tokenizer, self._identity = self._model.tokenizer, _identity(self._model)
        for run in plan.runs:
            check_memory(run, plan.config, self._model.decoder.embed.dtype)

    @staticmethod
    def check(plan: Plan, *, needed: bool) -> None:
        """ValueError where the model is `needed` and its config cannot be had.

        A sweep whose chains are all there needs no model; one that does will say what is wrong with it.
        """
        if needed:
            plan.require_model()

    def identity(self) -> dict[str, Any]:
        """Revision that the hub resolved, dtype that "auto" became, hashes of chat template and weights."""
        return self._identity

    def run_identity(self, run: Run) -> dict[str, Any]:
        """Gates and hash of the weights of the run's own checkpoint."""
        if run.checkpoint is None:
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
            policy=run.policy,
            settings=run.settings,
            cache_budget=run.cache_budget,
            sampling=self._config.sampling(),
            memory_budget=self._memory_budget(),
            max_batch=self._config.max_batch,
            batch_invariant=self._config.batch_invariant,
            length_cap=run.length_cap,
        )

    def _memory_budget(self) -> int | None:
        """None leaves it to the engine, which takes what is free."""
        if self._config.memory_budget is not None or self._share >= 1:
            return self._config.memory_budget
        from hyperscale.hardware.memory import lent_bytes

        return lent_bytes(self._model.decoder.embed.device, self._share)

    def _model_of(self, run: Run) -> Model:
        name = run.checkpoint or self._config.model
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
