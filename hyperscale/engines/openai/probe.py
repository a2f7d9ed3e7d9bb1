"""Which model a server holds and which fields it takes, by a few tiny requests before the first chain."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from hyperscale.config import SweepConfig
from hyperscale.engines.openai.client import Client
from hyperscale.engines.openai.errors import ServerError
from hyperscale.engines.openai.protocol import Ability, Answer, Protocol, optional_fields, other_prompt
from hyperscale.engines.openai.retry import Retries
from hyperscale.model.chat import encode_prompt
from hyperscale.text import format_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_LOG = logging.getLogger(__name__)

_TOKENS = 12
"""Length of a probe: enough to tell two samples at temperature `_HOT` apart, or two tokenizers."""
_HOT = 2.0
_RESERVED = {"sglang": 2}
"""Tokens of its context that a server never fills, by `owned_by` of its models: a request to SGLang gets at most
context - prompt - 2 new ones (`max_req_len` in its scheduler)."""
_REFUSING = (400, 404, 422, 500, 501)
"""Statuses at which a field counts as refused; some servers crash on an unknown one."""


@dataclass(frozen=True)
class Served:
    """A model as the server lists it."""

    name: str
    root: str | None = None
    """Folder or hub id of its weights, where the server tells (vLLM, SGLang)."""

    def identity(self) -> dict[str, str]:
        """Its names in the folder's identity. Of local folders the last part alone: they may move."""
        named = {"served_model": self.name, "served_root": self.root}
        return {key: PurePosixPath(of).name if of.startswith("/") else of for key, of in named.items() if of}


async def find_served(client: Client, retries: Retries, config: SweepConfig) -> Served:
    """Choose the model. ValueError where the server has none of that name, or too short a context."""
    named = config.served_model_name
    try:
        listed = await retries.call(client.models)
    except ServerError as error:
        if named is None or error.status not in (404, 405):
            raise
        listed = None
    cards = listed.get("data") if isinstance(listed, dict) else None
    models = {card["id"]: card for card in cards or [] if isinstance(card, dict) and isinstance(card.get("id"), str)}
    if not models and named is not None:
        return Served(named)
    wanted = named or (next(iter(models)) if len(models) == 1 else config.model)
    if wanted not in models:
        have = f"serves {', '.join(models)}, not {wanted}" if models else "lists no model"
        raise ValueError(f"{client.url} {have}: choose with --served-model-name")
    _check_context(models[wanted], max(config.lengths), f"{wanted} at {client.url}")
    root = models[wanted].get("root")
    return Served(wanted, root if isinstance(root, str) else None)


def _check_context(card: dict[str, Any], asked: int, name: str) -> None:
    """ValueError if L = `asked` does not fit into the context, where the server tells of it."""
    meta, owner = card.get("meta"), str(card.get("owned_by"))
    told = (card.get("max_model_len"), meta.get("n_ctx") if isinstance(meta, dict) else None)  # vLLM; llama.cpp
    context = next((length for length in told if isinstance(length, int) and length > 0), None)
    reserved = _RESERVED.get(owner, 0)
    if context is not None and context < asked + reserved:
        unused = f" ({owner} leaves {reserved} of them unused)" if reserved else ""
        raise ValueError(
            f"L = {format_tokens(asked)} is beyond the {context:,} tokens of context of {name}{unused}: start it with "
            f"{asked + reserved} or more, or lower --lengths or --budget"
        )


class _Refused(ServerError):
    """A refusal of the request's fields: final, even with a status that is otherwise transient."""

    transient = False


class Probe:
    """Requests a dozen tokens in several ways."""

    def __init__(self, client: Client, retries: Retries, protocol: Protocol) -> None:
        self._client, self._retries, self._protocol = client, retries, protocol
        self._prompt = encode_prompt(protocol.tokenizer, "Say anything.")
        self._fields = optional_fields(protocol.sampling, protocol.eos_ids)

    async def ability(self) -> Ability:
        """Find the fields that the server takes: all at once, else each on its own. Warn of those that it lacks.

        ValueError where its tokenizer is not that of --model, or it cannot sample as the sweep asks.
        """
        ability = Ability(frozenset(self._fields), token_prompts=True)
        answer = await self._try(ability)
        if answer is None:
            ability = await self._built_up()
            answer = await self._ask(ability)
        if not ability.token_prompts and answer.prompt_tokens == len(self._prompt) + 1:
            ability = replace(ability, adds_bos=True)
            answer = await self._ask(ability)
        if "stream" in ability.fields and not answer.countable:
            # Whole answers may have the counts, or the token ids, that streams lack.
            fields = frozenset(name for name in ability.fields if not name.startswith("stream"))
            whole = await self._try(replace(ability, fields=fields))
            if whole is not None and whole.countable:
                ability, answer = replace(ability, fields=fields), whole
        if answer.prompt_tokens:
            ability = replace(ability, overcount=answer.prompt_tokens - len(self._prompt))
        self._check(ability, answer)
        if lacking := [*self._lacks(ability, answer), *await self._seeds(ability)]:
            _LOG.warning("warning: %s: %s", self._client.url, "; ".join(lacking))
        return ability

    async def _built_up(self) -> Ability:
        ability = Ability(frozenset(), token_prompts=True)
        if await self._try(ability) is None:
            ability = replace(ability, token_prompts=False)
            await self._ask(ability)
        for name in self._fields:
            more = replace(ability, fields=ability.fields | {name})
            alone = not name.startswith("stream_") or "stream" in ability.fields
            if alone and await self._try(more) is not None:
                ability = more
        return ability

    async def _try(self, ability: Ability, seed: int = 1, temperature: float | None = None) -> Answer | None:
        """Return the answer, or None where the server refuses such a request."""
        try:
            return await self._ask(ability, seed, temperature)
        except _Refused:
            return None

    async def _ask(self, ability: Ability, seed: int = 1, temperature: float | None = None) -> Answer:
        body = self._protocol.body(ability, self._prompt, _TOKENS, seed, temperature)

        async def attempt() -> Answer:
            answer = Answer()
            try:
                await self._client.complete(body, answer.take)
            except ServerError as error:
                if error.status in _REFUSING:
                    raise _Refused(error.words, error.status) from None
                raise
            return answer

        return await self._retries.call(attempt)

    def _check(self, ability: Ability, answer: Answer) -> None:
        url, protocol = self._client.url, self._protocol
        if abs(ability.overcount) > 1:
            raise ValueError(f"{url}: {other_prompt(answer.prompt_tokens or 0, len(self._prompt))}")
        for name in ("top_k", "min_p"):
            if getattr(protocol.sampling, name) and name not in ability.fields:
                raise ValueError(
                    f"--{name.replace('_', '-')}: {url} refuses {name}; leave it out, or use another server"
                )
        if answer.tokens is not None and not same_text(protocol.tokenizer, answer.tokens, answer.text):
            raise ValueError(
                f"{url}: the text of {protocol.model} is not what the tokenizer of --model makes of its tokens: "
                "--model must name the model that is served"
            )

    def _lacks(self, ability: Ability, answer: Answer) -> list[str]:
        found = {
            "it refuses prompts of token ids, so they go as text": not ability.token_prompts,
            f"it counts {answer.prompt_tokens} tokens in a prompt of {len(self._prompt)}, so reads are a little off":
                ability.overcount != 0,
            "it gives no token ids, so its text is tokenized again (accounting: from_text)": answer.tokens is None,
            "it does not stream, or no counts, so a request that hangs is noticed late": "stream" not in ability.fields,
        }  # fmt: skip
        return [words for words, lacking in found.items() if lacking]

    async def _seeds(self, ability: Ability) -> list[str]:
        """Check that equal seeds give equal samples, and different seeds different ones."""
        if self._protocol.sampling.temperature == 0:
            return []
        answers = [await self._try(ability, seed, _HOT) for seed in (1, 1, 2)]
        first, again, other = (None if answer is None else answer.text for answer in answers)
        if first != again:
            return ["it gives another sample for the same seed, so this command will draw others when it is run again"]
        if first == other and first is not None and len(first) >= _TOKENS:
            return ["it gives the same sample for two seeds: threads of a problem may be copies of each other"]
        return []


def same_text(tokenizer: PreTrainedTokenizerBase, tokens: list[int], text: str) -> bool:
    """Compare `text` with the decoded tokens, apart from blanks and special tokens."""

    def bare(words: str) -> str:
        return "".join(words.split()).replace("\N{REPLACEMENT CHARACTER}", "")

    ways = [
        tokenizer.decode(part, skip_special_tokens=skip)
        for part in (tokens, tokens[:-1])  # Servers that hide an end token may still count it.
        for skip in (True, False)
    ]
    return bare(text) in {bare(way) for way in ways}
