"""What a server holds and what it can: found out with a few tiny requests before the first chain."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from hyperscale.config import SweepConfig
from hyperscale.engines.openai.http import Server, ServerError
from hyperscale.engines.openai.patience import Patience
from hyperscale.engines.openai.protocol import Ability, Answer, Protocol, optional_fields, other_prompt
from hyperscale.model.chat import encode_prompt
from hyperscale.text import format_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_LOG = logging.getLogger(__name__)

_TOKENS = 12
"""Asked for by a probe: enough to tell two samples at `_HOT` apart, or two tokenizers."""
_HOT = 2.0
_HELD_BACK = {"sglang": 2}
"""Tokens of its context that a server never fills, by the owner that its list of models names: of SGLang's, a request
gets at most context - prompt - 2 new ones (`max_req_len` in its scheduler)."""
_REFUSING = (400, 404, 422, 500, 501)
"""How servers refuse a field that they do not know; some fall over it."""


@dataclass(frozen=True)
class Served:
    """A model as the server lists it."""

    name: str
    root: str | None
    """Folder or hub id of its weights, where the server tells (vLLM, SGLang)."""
    longest: int | None
    """Tokens of its context, where the server tells."""

    def identity(self) -> dict[str, str]:
        """What tells it from another model. Of local folders the last part alone: they may move."""
        named = {"served_model": self.name, "served_root": self.root}
        return {key: PurePosixPath(of).name if of.startswith("/") else of for key, of in named.items() if of}


def find_served(server: Server, patience: Patience, config: SweepConfig) -> Served:
    """The model to ask for. ValueError where the server has none of that name, or too short a context."""
    named = config.served_model_name
    cards = _cards(server, patience, optional=named is not None)
    names = [card["id"] for card in cards]
    if not names and named is not None:
        return Served(named, None, None)
    wanted = named or (names[0] if len(names) == 1 else config.model)
    card = next((card for card in cards if card["id"] == wanted), None)
    if card is None:
        have = f"serves {', '.join(names)}, not {wanted}" if names else "lists no model"
        raise ValueError(f"{server.url} {have}: choose with --served-model-name")
    meta = card.get("meta")
    known = (card.get("max_model_len"), meta.get("n_ctx") if isinstance(meta, dict) else None)
    longest = next((length for length in known if isinstance(length, int) and length > 0), None)
    if longest is not None:
        _check_context(longest, max(config.lengths), str(card.get("owned_by")), f"{wanted} at {server.url}")
    root = card.get("root")
    return Served(wanted, root if isinstance(root, str) else None, longest)


def _check_context(longest: int, asked: int, owner: str, named: str) -> None:
    if longest < asked:
        raise ValueError(
            f"L = {format_tokens(asked)} is beyond the {format_tokens(longest)} tokens of context of {named}: start it "
            "with more, or lower --lengths or --budget"
        )
    back = _HELD_BACK.get(owner, 0)
    if longest < asked + back:
        raise ValueError(
            f"L = {format_tokens(asked)} is out of reach of {named}: of its {longest:,} tokens of context {owner} "
            f"leaves {back} unused. Start it with --context-length {asked + back}, or lower --lengths or --budget"
        )


def _cards(server: Server, patience: Patience, *, optional: bool) -> list[Mapping[str, Any]]:
    """What the server lists; nothing where it keeps no list and that is `optional`."""
    try:
        listed = patience.retry(lambda: server.get("models"))
    except ServerError as error:
        if optional and error.status in (404, 405):
            return []
        raise
    cards = listed.get("data") if isinstance(listed, dict) else None
    return [card for card in cards or [] if isinstance(card, dict) and isinstance(card.get("id"), str)]


class _Refused(ServerError):
    """Refused for what was asked: not to be tried again, although 500 else would be."""

    transient = False


class Probe:
    """Asks for a dozen tokens in several ways."""

    def __init__(self, server: Server, patience: Patience, protocol: Protocol) -> None:
        self._server = server
        self._patience = patience
        self._protocol = protocol
        self._prompt = encode_prompt(protocol.tokenizer, "Say anything.")

    def ability(self) -> Ability:
        """What the server takes: all if it can, else each field that it takes on its own.

        ValueError where it holds another tokenizer than --model, or cannot draw as it is asked to; what it lacks
        otherwise is told in one line.
        """
        everything = frozenset(optional_fields(self._protocol.sampling, self._protocol.eos_ids))
        ability = Ability(everything, True)
        answer = self._accepted(ability)
        if answer is None:
            ability = self._built_up(everything)
            answer = self._ask(ability)
        if not ability.token_prompts and answer.prompt_tokens == len(self._prompt) + 1:
            ability = replace(ability, adds_bos=True)
            answer = self._ask(ability)
        if "stream" in ability.fields and answer.tokens is None and answer.completion_tokens is None:
            ability, answer = self._unstreamed(ability, answer)
        if answer.prompt_tokens:
            ability = replace(ability, overcount=answer.prompt_tokens - len(self._prompt))
        if abs(ability.overcount) > 1:
            raise ValueError(f"{self._server.url}: {other_prompt(answer.prompt_tokens or 0, len(self._prompt))}")
        self._check_sampling(ability)
        if answer.tokens is not None and not same_text(self._protocol.tokenizer, answer.tokens, answer.text):
            raise ValueError(
                f"{self._server.url}: the text of {self._protocol.model} is not what the tokenizer of --model makes of "
                "its tokens: --model must name the model that is served"
            )
        if lacking := [*self._lacks(ability, answer), *self._seeds(ability)]:
            _LOG.warning("warning: %s: %s", self._server.url, "; ".join(lacking))
        return ability

    def _unstreamed(self, ability: Ability, answer: Answer) -> tuple[Ability, Answer]:
        """Whole answers instead of streams, if they say more than these: how many tokens there were, or which."""
        whole = replace(ability, fields=frozenset(name for name in ability.fields if not name.startswith("stream")))
        told = self._accepted(whole)
        if told is None or (told.tokens is None and told.completion_tokens is None):
            return ability, answer
        return whole, told

    def _built_up(self, everything: frozenset[str]) -> Ability:
        ability = Ability(frozenset(), True)
        if self._accepted(ability) is None:
            ability = Ability(frozenset(), False)
            self._ask(ability)
        for name in optional_fields(self._protocol.sampling, self._protocol.eos_ids):
            if name.startswith("stream_") and "stream" not in ability.fields:
                continue
            more = replace(ability, fields=ability.fields | {name})
            if self._accepted(more) is not None:
                ability = more
        return ability

    def _accepted(self, ability: Ability, seed: int = 1, temperature: float | None = None) -> Answer | None:
        """The answer, or None where the server does not take such a request."""
        try:
            return self._ask(ability, seed, temperature)
        except _Refused:
            return None

    def _ask(self, ability: Ability, seed: int = 1, temperature: float | None = None) -> Answer:
        body = self._protocol.body(ability, self._prompt, _TOKENS, seed, temperature)

        def attempt() -> Answer:
            answer = Answer()
            try:
                self._server.post("completions", body, answer.take)
            except ServerError as error:
                if error.status in _REFUSING:
                    raise _Refused(error.words, error.status) from None
                raise
            return answer

        return self._patience.retry(attempt)

    def _check_sampling(self, ability: Ability) -> None:
        for name in ("top_k", "min_p"):
            if getattr(self._protocol.sampling, name) and name not in ability.fields:
                flag = name.replace("_", "-")
                raise ValueError(f"--{flag}: {self._server.url} refuses {name}; leave it out, or use another server")

    def _lacks(self, ability: Ability, answer: Answer) -> list[str]:
        found, prompt = [], len(self._prompt)
        if not ability.token_prompts:
            found.append("it refuses prompts of token ids, so they go as text")
        if ability.overcount:
            found.append(f"it counts {answer.prompt_tokens} tokens in a prompt of {prompt}, so reads are a little off")
        if answer.tokens is None:
            found.append("it gives no token ids, so its text is tokenized again (accounting: from_text)")
        if "stream" not in ability.fields:
            found.append("it does not stream, or no counts, so a request that hangs is noticed late")
        return found

    def _seeds(self, ability: Ability) -> list[str]:
        """Whether one seed gives one sample, and two seeds give two."""
        if self._protocol.sampling.temperature == 0:
            return []
        answers = [self._accepted(ability, seed, _HOT) for seed in (1, 1, 2)]
        first, again, other = (None if answer is None else answer.text for answer in answers)
        if first != again:
            return ["it gives another sample for the same seed, so this command will draw others when it is run again"]
        if first == other and first is not None and len(first) >= _TOKENS:
            return ["it gives the same sample for two seeds: threads of a problem may be copies of each other"]
        return []


def same_text(tokenizer: PreTrainedTokenizerBase, tokens: list[int], text: str) -> bool:
    """Whether `text` is what the tokenizer makes of the tokens, whatever becomes of blanks and special tokens."""

    def bare(words: str) -> str:
        return "".join(words.split()).replace("\N{REPLACEMENT CHARACTER}", "")

    ways = [
        tokenizer.decode(part, skip_special_tokens=skip)
        for part in (tokens, tokens[:-1])  # An end token is counted by servers that do not show it.
        for skip in (True, False)
    ]
    return bare(text) in {bare(way) for way in ways}
