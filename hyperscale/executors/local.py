"""Run the torch engine in this process, on one device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from hyperscale.engines.base import Engine, WeightsIdentity
from hyperscale.executors.base import InProcess, ModelIdentity
from hyperscale.model.chat import encode_prompt, text_and_ends
from hyperscale.model.weights import weights_sha
from hyperscale.plan.preflight import check_memory
from hyperscale.plan.resolve import Plan
from hyperscale.plan.runs import Run
from hyperscale.tasks.task import Problem

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

    from hyperscale.engines.torch.engine import TorchEngine
    from hyperscale.engines.torch.fill import HeldRows
    from hyperscale.engines.torch.latency import Probe
    from hyperscale.model.load import Model

_THINK = "<think>"


class LocalExecutor(InProcess):
    """A plan's model and, for each run, a torch engine.

    It holds one checkpoint of a family at a time: the original first, then that of each run.
    """

    def __init__(self, plan: Plan, *, share: float = 1.0) -> None:
        """Load the model, a family's original, with its tokenizer. `share`: this process's part of the device.

        ValueError where it cannot be loaded, or --memory-budget does not hold one thread of a run.
        """
        self._config, self._share = plan.config, share
        self._name, self._model = plan.config.model, self._load(plan.config.model)
        self._tokenizer, self._identity = self._model.tokenizer, _identity(self._model)
        for run in plan.runs:
            check_memory(run, plan.config, self._model.decoder.embed.dtype)

    @staticmethod
    def check(plan: Plan, *, needed: bool) -> None:
        """Raise ValueError where the model is `needed` and its config cannot be loaded.

        A sweep whose chains are all stored needs no model.
        """
        if needed:
            plan.require_model()

    def identity(self) -> ModelIdentity:
        """Return the loaded model's revision, dtype, and hashes of chat template and weights."""
        return self._identity

    def run_identity(self, run: Run) -> WeightsIdentity:
        """Return dtype, gates and weights' hash of the run's own checkpoint; {} without one."""
        if run.checkpoint is None:
            return {}
        found = _identity(self._model_of(run))
        return {
            "resolved_dtype": found["resolved_dtype"],
            "weights_sha": found["weights_sha"],
            "gates": found["gates"],
        }

    def prompt_tokens(self, problem: Problem) -> tuple[int, ...]:
        """Tokenize the problem's chat prompt."""
        return tuple(encode_prompt(self._tokenizer, problem.prompt, problem.system))

    def text(self, tokens: Sequence[int]) -> tuple[str, list[int]]:
        """Decode generated tokens; return the text and its length in characters after each token."""
        return text_and_ends(self._tokenizer, tokens)

    def engine(self, run: Run) -> Engine:
        """Make the run's torch engine, its batch sized to --memory-budget for the run's largest cap."""
        return self._engine(run, self._memory_budget())

    def probe(self, run: Run, memory_budget: int, held: HeldRows | None) -> Probe:
        """Make what times steps of the run's engine, with `memory_budget` bytes of KV cache; see its own contract."""
        from hyperscale.engines.torch.latency import Probe

        return Probe(self._engine(run, memory_budget), held)

    def cache_bytes(self) -> int:
        """Return the bytes of KV cache of an engine that is made now: --memory-budget, else of the free memory."""
        budget = self._memory_budget()
        return self.free_bytes() if budget is None else budget

    def free_bytes(self) -> int:
        """Return the bytes that the device can spare for KV caches now."""
        from hyperscale.hardware.memory import free_bytes

        return free_bytes(self.device)

    @property
    def device(self) -> torch.device:
        """Return the device of the model."""
        return self._model.decoder.embed.device

    @property
    def dtype(self) -> torch.dtype:
        """Return the number type of the model."""
        return self._model.decoder.embed.dtype

    def _engine(self, run: Run, memory_budget: int | None) -> TorchEngine:
        from hyperscale.engines.torch.engine import TorchEngine

        return TorchEngine(
            self._model_of(run),
            policy=run.policy,
            settings=run.settings,
            cache_budget=run.cache_budget,
            sampling=self._config.sampling(),
            memory_budget=memory_budget,
            max_batch=self._config.max_batch,
            batch_invariant=self._config.batch_invariant,
            length_cap=run.length_cap,
        )

    def _memory_budget(self) -> int | None:
        """Return the KV cache's bytes; None leaves them to the engine, which takes the free memory."""
        if self._config.memory_budget is not None or self._share >= 1:
            return self._config.memory_budget
        from hyperscale.hardware.memory import lent_bytes

        return lent_bytes(self._model.decoder.embed.device, self._share)

    def _model_of(self, run: Run) -> Model:
        name = run.checkpoint or self._config.model
        if name != self._name:
            del self._model  # Free its memory for the next.
            self._name, self._model = name, self._load(name)
        return self._model

    def _load(self, name: str) -> Model:
        from hyperscale.model.load import load_model

        config = self._config
        revision = config.revision if name == config.model else None
        return load_model(name, revision=revision, dtype=config.dtype, device=config.device)


def _identity(model: Model) -> ModelIdentity:
    return {
        "resolved_revision": model.revision,
        "resolved_dtype": str(model.decoder.embed.dtype).removeprefix("torch."),
        "chat_template_sha": model.chat_template_sha,
        "answer_prefix": answer_prefix(model.tokenizer),
        "weights_sha": weights_sha(model.decoder),
        "gates": None if model.spec.gates is None else asdict(model.spec.gates),
    }


def answer_prefix(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the reasoning tag that the chat template puts before an answer, or ""."""
    return _THINK if tokenizer.decode(encode_prompt(tokenizer, "?")).rstrip().endswith(_THINK) else ""
