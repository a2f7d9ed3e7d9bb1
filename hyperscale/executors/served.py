"""Run an engine that holds the weights itself: vLLM, a server that speaks OpenAI's protocol, a plugin.

Tokenizer and config are loaded here, so that prompts, texts and counts are those of the torch engine.
"""

from __future__ import annotations

from collections.abc import Sequence

from hyperscale.engines import ENGINES
from hyperscale.engines.base import Engine, WeightsIdentity
from hyperscale.executors.base import InProcess, ModelIdentity
from hyperscale.executors.local import LocalExecutor, answer_prefix
from hyperscale.model.chat import encode_prompt, text_and_ends
from hyperscale.plan.resolve import Plan
from hyperscale.plan.runs import Run
from hyperscale.tasks.task import Problem


class ServedExecutor(InProcess):
    """A plan's tokenizer and its one engine."""

    def __init__(self, plan: Plan) -> None:
        """Load tokenizer and config, and make the engine, which loads the weights. ValueError where that fails."""
        from hyperscale.model.load import load_text

        config, engine = plan.config, ENGINES.load(plan.config.engine)
        engine.check(config)
        self._text = load_text(config.model, config.revision)
        self._engine = engine(config, self._text)

    @staticmethod
    def check(plan: Plan, *, needed: bool) -> None:
        """Raise ValueError where the model is `needed` and its config or the engine's package is missing."""
        LocalExecutor.check(plan, needed=needed)
        engine = ENGINES.load(plan.config.engine)
        if needed:
            engine.check(plan.config)

    def identity(self) -> ModelIdentity:
        """Return revision, chat template's hash, and the engine's identity of the weights."""
        return {
            "resolved_revision": self._text.revision,
            "chat_template_sha": self._text.chat_template_sha,
            "answer_prefix": answer_prefix(self._text.tokenizer),
            **self._engine.identity(),
        }

    def run_identity(self, run: Run) -> WeightsIdentity:
        """Return {}: no run has a checkpoint of its own."""
        return {}

    def prompt_tokens(self, problem: Problem) -> tuple[int, ...]:
        """Tokenize the problem's chat prompt."""
        return tuple(encode_prompt(self._text.tokenizer, problem.prompt, problem.system))

    def text(self, tokens: Sequence[int]) -> tuple[str, list[int]]:
        """Decode generated tokens; return the text and its length in characters after each token."""
        return text_and_ends(self._text.tokenizer, tokens)

    def engine(self, run: Run) -> Engine:
        """Return the one engine, which serves every run."""
        return self._engine
