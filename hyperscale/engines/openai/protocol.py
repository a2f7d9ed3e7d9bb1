"""Requests of OpenAI's completions, and how an answer becomes a chain's tokens."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from hyperscale.config import Sampling
from hyperscale.engines.base import Accounting, FinishReason
from hyperscale.engines.openai.errors import ServerError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

STREAM_INTERVAL = 16
"""Tokens of a chunk, for servers that take the wish (vLLM): an event a token keeps two cores busy for nothing."""

_ABORTED = ("abort", "error")
"""Finish reasons of vLLM and SGLang for requests that they abort, as at shutdown."""


def request_seed(seed: int, task: str, problem_id: str, thread: int) -> int:
    """Derive a request's seed, below 2**31: llama.cpp holds it in 32 bits, SGLang in a signed tensor.

    Threads of one problem never share one: their prompts are the same, so their samples would be too.
    """
    identity = "\x1f".join((str(seed), task, problem_id))
    first = int.from_bytes(blake2b(identity.encode(), digest_size=8).digest(), "little")
    return (first + thread) % 2**31


def optional_fields(sampling: Sampling, eos_ids: Collection[int]) -> dict[str, Any]:
    """Fields beyond the core of OpenAI's protocol, each known to some servers and refused by others.

    Options that are off are sent too: without them vLLM and SGLang sample by the model's generation_config.json
    (Qwen3's has top_k 20), and llama.cpp by its own defaults (top_k 40, min_p 0.05).
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
        "top_k": sampling.top_k or -1,  # vLLM, SGLang, llama.cpp; SGLang refuses 0
        "min_p": sampling.min_p,  # vLLM, SGLang, llama.cpp
        "repetition_penalty": 1.0,  # vLLM, SGLang
        "frequency_penalty": 0.0,
        "presence_penalty": 0.0,
        "samplers": ["temperature", "top_k", "top_p", "min_p"],  # llama.cpp; the order of engines/torch/sampling.py
        "seed": 0,
    }


def other_prompt(counted: int, sent: int) -> str:
    """Tell the user that the server counts another prompt than it was sent."""
    return (
        f"the server counts {counted} tokens in a prompt of {sent}: it cuts prompts short or wraps them in a template "
        "of its own, and that is another experiment. See to it that it takes them as they are (SGLang: without "
        "--allow-auto-truncate; Ollama: a larger num_ctx, and a model without a template)"
    )


@dataclass(frozen=True)
class Ability:
    """Fields and forms that the server was found to take."""

    fields: frozenset[str]
    """Subset of `optional_fields`."""
    token_prompts: bool
    """Whether a prompt may be token ids; else it is text."""
    adds_bos: bool = False
    """Whether it puts a begin-of-sequence token before a prompt that is text."""
    overcount: int = 0
    """Tokens that it counts beyond those of an unchanged prompt."""


@dataclass(frozen=True)
class Drawn:
    """The generated tokens of a chain, its end token included."""

    tokens: list[int]
    finish_reason: FinishReason
    accounting: Accounting


@dataclass(frozen=True)
class Protocol:
    """Writes requests to one model and reads their answers."""

    model: str
    sampling: Sampling
    eos_ids: frozenset[int]
    tokenizer: PreTrainedTokenizerBase

    def body(
        self, ability: Ability, prompt: Sequence[int], tokens: int, seed: int, temperature: float | None = None
    ) -> dict[str, Any]:
        """Request at most so many tokens; `temperature` instead of the sampling's own."""
        fields = optional_fields(self.sampling, self.eos_ids) | {"seed": seed}
        return {
            "model": self.model,
            "prompt": list(prompt) if ability.token_prompts else self.as_text(prompt, ability.adds_bos),
            "max_tokens": tokens,
            "temperature": self.sampling.temperature if temperature is None else temperature,
            "top_p": self.sampling.top_p,
            **{name: value for name, value in fields.items() if name in ability.fields},
        }

    def as_text(self, prompt: Sequence[int], adds_bos: bool = False) -> str:
        """Decode a prompt, special tokens included, but for the first one that the server adds itself."""
        kept = prompt[1:] if adds_bos and list(prompt[:1]) == [self.tokenizer.bos_token_id] else prompt
        return str(self.tokenizer.decode(list(kept), skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def check_prompt(self, answer: Answer, ability: Ability, prompt: Sequence[int]) -> None:
        """ValueError where the server counts another prompt than it was sent."""
        counted, expected = answer.prompt_tokens, {len(prompt), len(prompt) + ability.overcount}
        # Some count 0 for a prompt in their prefix cache.
        if not counted or counted in expected:
            return
        if not ability.token_prompts:
            # The same text may tokenize to fewer tokens than it was decoded from.
            again = len(self._tokenized(self.as_text(prompt, ability.adds_bos)))
            expected |= {len(prompt) + 1, again, again + 1}
        if counted not in expected:
            raise ValueError(other_prompt(counted, len(prompt)))

    def tokens_of(self, answer: Answer, limit: int) -> Drawn:
        """Cut an answer as the torch engine cuts a chain: after its first end token, or at the limit.

        ServerError where the answer is incomplete; ValueError where the server ended it for a reason of its own.
        """
        reason, counted, given = answer.finish_reason, answer.completion_tokens, answer.tokens
        if reason is None:
            raise ServerError("the answer broke off before its end")
        if reason in _ABORTED:
            raise ServerError(f"the server aborted a request (finish_reason {reason!r})")
        if reason not in ("stop", "length"):
            raise ValueError(f"the server ended a chain with finish_reason {reason!r}, which is no end of a sample")
        tokens = self._tokenized(answer.text) if given is None else list(given)
        if reason == "stop" and not (tokens and tokens[-1] in self.eos_ids):
            tokens.append(self._hidden_end(answer.stopped_by))
        if given is not None and counted is not None and counted not in (len(given), len(tokens)):
            raise ServerError(f"the server counts {counted} tokens and gave the ids of {len(given)}")
        made = counted if given is None else len(given)
        if reason == "length" and made is not None and made < limit:
            raise ValueError(
                f"the server cut a chain off after {made} tokens of the {limit} asked for: its context is shorter "
                "than L. Start it with a longer one, or lower --lengths or --budget"
            )
        if not tokens:  # Without any text it drew special tokens that it does not show.
            tokens = [next((token for token in self.tokenizer.all_special_ids if token not in self.eos_ids), 0)]
        first_end = next((i for i, token in enumerate(tokens) if token in self.eos_ids), limit)
        tokens = tokens[: min(first_end + 1, limit)]
        stopped = tokens[-1] in self.eos_ids
        return Drawn(tokens, "stop" if stopped else "length", "from_text" if given is None else "from_lengths")

    def _tokenized(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _hidden_end(self, stopped_by: int | str | None) -> int:
        """Name the end token that a server did not show. ValueError where it stopped at something else."""
        if stopped_by in self.eos_ids:
            return int(stopped_by)
        if stopped_by is not None or not self.eos_ids:
            raise ValueError(
                f"the server ended a chain at {stopped_by!r}, which ends no sequence of --model: it holds another "
                "model, or was started with stop words of its own"
            )
        own = self.tokenizer.eos_token_id
        return own if own in self.eos_ids else min(self.eos_ids)


@dataclass
class Answer:
    """One choice, put together from the events of a stream or read from one object."""

    finish_reason: str | None = None
    stopped_by: int | str | None = None
    """Token or word at which it stopped, where the server tells."""
    completion_tokens: int | None = None
    prompt_tokens: int | None = None
    _texts: list[str] = field(default_factory=list)
    _ids: list[int] | None = None
    _lacks_ids: bool = False

    @property
    def text(self) -> str:
        """The generated text."""
        return "".join(self._texts)

    @property
    def tokens(self) -> list[int] | None:
        """The generated tokens; None where the server did not give all of them."""
        return None if self._lacks_ids else self._ids

    @property
    def countable(self) -> bool:
        """Whether the number of generated tokens is known without tokenizing the text."""
        return self.tokens is not None or self.completion_tokens is not None

    def take(self, event: dict[str, Any]) -> None:
        """Add a chunk, or the whole answer. ServerError where it is not of the protocol's form."""
        try:
            usage = event.get("usage") or {}
            self.completion_tokens = usage.get("completion_tokens", self.completion_tokens)
            self.prompt_tokens = usage.get("prompt_tokens", self.prompt_tokens)
            for choice in event.get("choices") or []:
                self._take_choice(choice)
        except (AttributeError, TypeError, ValueError) as error:
            raise ServerError(f"an answer of another form than OpenAI's completions ({error})") from None

    def _take_choice(self, choice: dict[str, Any]) -> None:
        text, ids = str(choice.get("text") or ""), choice.get("token_ids")
        self._texts.append(text)
        if ids is None:
            self._lacks_ids |= bool(text)
        else:
            self._ids = self._ids or []
            self._ids.extend(int(token) for token in ids)
        self.finish_reason = choice.get("finish_reason") or self.finish_reason
        for name in ("stop_reason", "matched_stop"):  # vLLM, SGLang
            if choice.get(name) is not None:
                self.stopped_by = choice[name]
