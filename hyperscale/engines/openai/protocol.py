"""What is asked of an OpenAI-compatible server for one chain, and how its answer becomes the chain's tokens."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from hyperscale.config import Sampling
from hyperscale.engines.base import Accounting, FinishReason
from hyperscale.engines.openai.http import Event, ServerError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

STREAM_INTERVAL = 16
"""Tokens of a chunk, for servers that take the wish (vLLM): an event a token keeps two cores busy for nothing."""

_ENDED_BY_SERVER = ("abort", "error")
"""Finish reasons of vLLM and SGLang for requests that they gave up, as when they are shut down."""


def request_seed(seed: int, task: str, problem_id: str, thread: int) -> int:
    """A request's seed, below 2**31: llama.cpp holds it in 32 bits, SGLang in a signed tensor.

    Threads of one problem never share one: their prompts are the same, so their samples would be too.
    """
    identity = "\x1f".join((str(seed), task, problem_id))
    first = int.from_bytes(blake2b(identity.encode(), digest_size=8).digest(), "little")
    return (first + thread) % 2**31


def optional_fields(sampling: Sampling, eos_ids: Collection[int]) -> dict[str, Any]:
    """What servers may take beside the core of OpenAI's protocol, each field known to some and refused by others.

    What is off is named too: without it vLLM and SGLang draw as the model's generation_config.json says (of Qwen3:
    top_k 20), and llama.cpp by defaults of its own (top_k 40, min_p 0.05).
    """
    return {
        "stream": True,
        "stream_options": {"include_usage": True},
        "stream_interval": STREAM_INTERVAL,  # vLLM
        "return_token_ids": True,  # vLLM, SGLang
        "skip_special_tokens": False,  # vLLM, SGLang
        "spaces_between_special_tokens": False,  # vLLM
        "add_special_tokens": False,  # vLLM, of a prompt that is text
        "stop_token_ids": sorted(eos_ids),  # vLLM, SGLang
        "top_k": sampling.top_k or -1,  # vLLM, SGLang, llama.cpp; 0 would be refused by SGLang
        "min_p": sampling.min_p,  # vLLM, SGLang, llama.cpp
        "repetition_penalty": 1.0,  # vLLM, SGLang
        "frequency_penalty": 0.0,
        "presence_penalty": 0.0,
        "samplers": ["temperature", "top_k", "top_p", "min_p"],  # llama.cpp; the order of engines/sampling.py
        "seed": 0,
    }


def other_prompt(counted: int, sent: int) -> str:
    """What it means that a server counts another prompt."""
    return (
        f"the server counts {counted} tokens in a prompt of {sent}: it cuts prompts short or wraps them in a template "
        "of its own, and that is another experiment. See to it that it takes them as they are (SGLang: without "
        "--allow-auto-truncate; Ollama: a larger num_ctx, and a model without a template)"
    )


@dataclass(frozen=True)
class Ability:
    """What a server was found to take."""

    fields: frozenset[str]
    """Those of `optional_fields`."""
    token_prompts: bool
    """Whether a prompt may be token ids; else it is text."""
    adds_bos: bool = False
    """Whether it puts a begin-of-sequence token before a prompt that is text."""
    overcount: int = 0
    """Tokens that it counts beyond those of a prompt that it takes as it is."""


@dataclass(frozen=True)
class Protocol:
    """Bodies of requests for one model, and the reading of answers."""

    model: str
    sampling: Sampling
    eos_ids: frozenset[int]
    tokenizer: PreTrainedTokenizerBase

    def body(
        self, ability: Ability, prompt: Sequence[int], tokens: int, seed: int, temperature: float | None = None
    ) -> dict[str, Any]:
        """A request for at most so many tokens; `temperature` instead of the sampling's own."""
        fields = optional_fields(self.sampling, self.eos_ids)
        fields["seed"] = seed
        return {
            "model": self.model,
            "prompt": list(prompt) if ability.token_prompts else self._as_text(prompt, ability.adds_bos),
            "max_tokens": tokens,
            "temperature": self.sampling.temperature if temperature is None else temperature,
            "top_p": self.sampling.top_p,
            **{name: value for name, value in fields.items() if name in ability.fields},
        }

    def _as_text(self, prompt: Sequence[int], adds_bos: bool) -> str:
        bos = self.tokenizer.bos_token_id
        kept = prompt[1:] if adds_bos and prompt and prompt[0] == bos else prompt
        return str(self.tokenizer.decode(list(kept), skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def check_prompt(self, answer: Answer, ability: Ability, prompt: Sequence[int]) -> None:
        """ValueError where the server counts another prompt than it was sent."""
        counted, expected = answer.prompt_tokens, {len(prompt), len(prompt) + ability.overcount}
        # Some count nothing of a prompt that their cache held.
        if not counted or counted in expected:
            return
        if not ability.token_prompts:
            # Text may have a shorter way to be tokenized than the one that it came from.
            again = len(self._tokenized(self._as_text(prompt, ability.adds_bos)))
            expected |= {len(prompt) + 1, again, again + 1}
        if counted not in expected:
            raise ValueError(other_prompt(counted, len(prompt)))

    def tokens_of(self, answer: Answer, limit: int) -> Drawn:
        """The chain that an answer holds, cut as the torch engine cuts it: after its first end, or at the limit.

        ServerError where the answer is not whole; ValueError where the server ended it for a reason of its own.
        """
        reason = answer.finish_reason
        if reason is None:
            raise ServerError("the answer broke off before its end")
        if reason in _ENDED_BY_SERVER:
            raise ServerError(f"the server gave a request up (finish_reason {reason!r})")
        if reason not in ("stop", "length"):
            raise ValueError(f"the server ended a chain with finish_reason {reason!r}, which is no end of a sample")
        exact = answer.tokens is not None
        tokens = list(answer.tokens) if answer.tokens is not None else self._tokenized(answer.text)
        given, counted = len(tokens), answer.completion_tokens
        if reason == "stop" and not (tokens and tokens[-1] in self.eos_ids):
            tokens.append(self._left_out(answer.stopped_by))
        if exact and counted is not None and counted not in (given, len(tokens)):
            raise ServerError(f"the server counts {counted} tokens and gave the ids of {given}")
        made = given if exact else counted
        if reason == "length" and made is not None and made < limit:
            raise ValueError(
                f"the server cut a chain off after {made} tokens of the {limit} asked for: its context is shorter "
                "than L. Start it with a longer one, or lower --lengths or --budget"
            )
        if not tokens:
            tokens.append(self._unseen())
        first_end = next((i for i, token in enumerate(tokens) if token in self.eos_ids), limit)
        tokens = tokens[: min(first_end + 1, limit)]
        stopped = bool(tokens) and tokens[-1] in self.eos_ids
        return Drawn(tokens, "stop" if stopped else "length", "from_lengths" if exact else "from_text")

    def _tokenized(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _unseen(self) -> int:
        """A special token that ends nothing: what a server drew that shows no text at all, for it hides such tokens."""
        return next((token for token in self.tokenizer.all_special_ids if token not in self.eos_ids), 0)

    def _left_out(self, stopped_by: int | str | None) -> int:
        """The end token that a server did not show. ValueError where it stopped at something else."""
        if stopped_by in self.eos_ids:
            return int(stopped_by)
        if stopped_by is not None or not self.eos_ids:
            raise ValueError(
                f"the server ended a chain at {stopped_by!r}, which ends no sequence of --model: it holds another "
                "model, or was started with stop words of its own"
            )
        own = self.tokenizer.eos_token_id
        return own if own in self.eos_ids else min(self.eos_ids)


@dataclass(frozen=True)
class Drawn:
    """The generated tokens of a chain, its end token included."""

    tokens: list[int]
    finish_reason: FinishReason
    accounting: Accounting


@dataclass
class Answer:
    """One choice, put together from the events of a stream or read from one object."""

    finish_reason: str | None = None
    stopped_by: int | str | None = None
    """The token or word that it stopped at, where the server says so."""
    completion_tokens: int | None = None
    prompt_tokens: int | None = None
    _texts: list[str] = field(default_factory=list)
    _tokens: list[int] = field(default_factory=list)
    _has_ids: bool = False
    _lacks_ids: bool = False

    @property
    def text(self) -> str:
        """What the server made of the tokens."""
        return "".join(self._texts)

    @property
    def tokens(self) -> list[int] | None:
        """The generated tokens; None where the server did not give all of them."""
        return self._tokens if self._has_ids and not self._lacks_ids else None

    def take(self, event: Event) -> None:
        """Add a chunk, or the whole answer. ServerError where it is not of the protocol's form."""
        try:
            usage = event.get("usage") or {}
            self.completion_tokens = usage.get("completion_tokens", self.completion_tokens)
            self.prompt_tokens = usage.get("prompt_tokens", self.prompt_tokens)
            for choice in event.get("choices") or []:
                self._take_choice(choice)
        except (AttributeError, TypeError, ValueError) as error:
            raise ServerError(f"an answer of another form than OpenAI's completions ({error})") from None

    def _take_choice(self, choice: Event) -> None:
        text, ids = choice.get("text") or "", choice.get("token_ids")
        self._texts.append(str(text))
        if ids is None:
            self._lacks_ids |= bool(text)
        else:
            self._has_ids = True
            self._tokens.extend(int(token) for token in ids)
        self.finish_reason = choice.get("finish_reason") or self.finish_reason
        for name in ("stop_reason", "matched_stop"):  # vLLM, SGLang
            if choice.get(name) is not None:
                self.stopped_by = choice[name]
