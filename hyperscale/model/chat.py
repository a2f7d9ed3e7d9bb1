"""Prompts into token ids, and generated ids back into text."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_LONGEST_PENDING = 32

TEMPLATE_DATE = "26 Jul 2024"
"""What a template that states the date is told (Llama 3's default): today's would change prompts by the day."""


def encode_prompt(tokenizer: PreTrainedTokenizerBase, prompt: str, system: str | None = None) -> list[int]:
    """Token ids of a prompt, up to where the model's answer begins.

    Through the tokenizer's chat template; where it has none, system and prompt as plain text, with the
    special tokens that the tokenizer itself adds. ValueError if the template refuses the messages.
    """
    if tokenizer.chat_template is None:
        return list(tokenizer(prompt if system is None else f"{system}\n\n{prompt}")["input_ids"])
    messages = [{"role": "user", "content": prompt}]
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    try:
        text = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=False, date_string=TEMPLATE_DATE
        )
    except Exception as error:  # a template is a program: it can fail in any way, or be refused by its sandbox
        roles = " and ".join(message["role"] for message in messages)
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"The model's chat template refuses messages of {roles}: {reason}") from None
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def template_sha(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """sha256 of the chat template; None where there is none."""
    template = tokenizer.chat_template
    return None if template is None else hashlib.sha256(str(template).encode()).hexdigest()


class Decoded(NamedTuple):
    """Text of generated tokens, and where it stood after each of them."""

    text: str
    ends: list[int]
    """`text[:ends[g - 1]]` is the text of the first g tokens."""


def text_and_ends(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int]) -> Decoded:
    """Text of `tokens` without special ones. Linear in their number.

    Trailing replacement characters, which an unfinished UTF-8 sequence shows, are left out: of the text,
    and of what stands after each token.
    """
    silent = {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    silent.update(tokenizer.all_special_ids)
    ids = [int(token) for token in tokens]
    known = len(tokenizer)  # a model's vocabulary may be padded beyond it
    window = _Window(lambda part: tokenizer.decode(part, skip_special_tokens=True))
    ends = []
    for token in ids:
        if token not in silent and token < known:
            window.push(token)
        ends.append(window.visible)
    text = window.decode(ids).rstrip(_REPLACEMENT)
    # Of an invalid run, sentencepiece's decoder may show fewer characters than of its beginning.
    return Decoded(text, [min(end, len(text)) for end in ends])


class _Window:
    """Counts characters token by token.

    A token's text depends on its neighbours. So it is decoded after `context`, tokens whose text is settled,
    and together with `pending`, tokens whose last character may be unfinished.
    """

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self.decode = decode
        self.context: list[int] = []
        self.pending: list[int] = []
        self.context_chars = 0
        self.settled = 0
        self.visible = 0

    def push(self, token: int) -> None:
        self.pending.append(token)
        text = self.decode(self.context + self.pending)
        fresh = text[self.context_chars :]
        shown = fresh.rstrip(_REPLACEMENT)
        if shown:
            self.visible = self.settled + len(shown)
        if shown and len(shown) == len(fresh):
            self.settled = self.visible
            self.context, self.pending = self.pending, []
            self.context_chars = len(self.decode(self.context))
        elif len(self.pending) % _LONGEST_PENDING == 0:
            self._settle_invalid(text)

    def _settle_invalid(self, text: str) -> None:
        """Let go of the front of a long run of invalid bytes, cut where its text is the sum of its parts'."""
        for cut in range(len(self.pending) - 8, len(self.pending) - 4):
            front, rest = self.context + self.pending[:cut], self.pending[cut:]
            front_text = self.decode(front)
            if front_text + self.decode(rest) == text:
                self.settled += len(front_text) - self.context_chars
                self.context, self.pending, self.context_chars = [], rest, 0
                return
