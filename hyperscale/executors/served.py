"""Runs of engines that hold the model themselves: vLLM in this process, or a server that speaks OpenAI's protocol.

The tokenizer and the model's config are ours, so that prompts, texts and counts are those of the torch engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hyperscale.engines import ENGINES
from hyperscale.engines.base import Engine
from hyperscale.executors.base import InProcess
from hyperscale.executors.local import LocalExecutor, answer_prefix
from hyperscale.model.chat import encode_prompt, text_and_ends
from hyperscale.plan.resolve import Plan
from hyperscale.plan.runs import Run
from hyperscale.tasks.task import Problem


class ServedExecutor(InProcess):
    """Loads the tokenizer of `config.model`; the engine, which loads the weights, is made once and kept."""

    def __init__(self, plan: Plan) -> None:
        from hyperscale.model.load import load_text

        config, engine = plan.config, ENGINES.load(plan.config.engine)
        engine.check(config)
        self._text = load_text(config.model, config.revision)
        self._engine = engine(config, self._text)

    @staticmethod
    def check(plan: Plan, *, needed: bool) -> None:
        """ValueError if the model's own config rules the sweep out, or the engine's package is not there."""
        LocalExecutor.check(plan, needed=needed)
        engine = ENGINES.load(plan.config.engine)
        if needed:
            engine.check(plan.config)

    def identity(self) -> dict[str, Any]:
        """Revision, chat template, and what the engine says of the weights that it holds."""
        return {
            "resolved_revision": self._text.revision,
            "chat_template_sha": self._text.chat_template_sha,
            "answer_prefix": answer_prefix(self._text.tokenizer),
            **self._engine.identity(),
        }

    def run_identity(self, run: Run) -> dict[str, Any]:
        """There are no checkpoints beside the model."""
        return {}

    def prompt_tokens(self, problem: Problem) -> tuple[int, ...]:
        """The problem's chat prompt, tokenized."""
        return tuple(encode_prompt(self._text.tokenizer, problem.prompt, problem.system))

    def text(self, tokens: Sequence[int]) -> tuple[str, list[int]]:
        """Generated tokens as text, and the characters that stand after each."""
        return text_and_ends(self._text.tokenizer, tokens)

    def engine(self, run: Run) -> Engine:
        """The one engine: every run of a vanilla cache is alike to it."""
        return self._engine
