"""Chat prompts to token ids, and generated ids to text."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_LONGEST_PENDING = 32

TEMPLATE_DATE = "26 Jul 2024"
"""Date given to templates that print one (Llama 3's default): today's date would change prompts from day to day."""


def encode_prompt(tokenizer: PreTrainedTokenizerBase, prompt: str, system: str | None = None) -> list[int]:
    """Encode a prompt up to the start of the model's answer, through the tokenizer's chat template.

    Without a template, encode system and prompt as plain text plus the tokenizer's own special tokens.
    Raise ValueError if the template refuses the messages.
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
    except Exception as error:  # a template is a program: it can raise anything
        roles = " and ".join(message["role"] for message in messages)
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"The model's chat template refuses messages of {roles}: {reason}") from None
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def template_sha(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """Return the sha256 of the chat template; None without one."""
    template = tokenizer.chat_template
    return None if template is None else hashlib.sha256(str(template).encode()).hexdigest()


class Decoded(NamedTuple):
    """Text of generated tokens, and its length after each of them."""

    text: str
    ends: list[int]
    """`text[:ends[g - 1]]` is the text of the first g tokens."""


def text_and_ends(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int]) -> Decoded:
    """Decode `tokens` without special ones, in linear time.

    Trailing replacement characters, which stand for an unfinished UTF-8 sequence, are left out of the text and of
    every `ends`.
    """
    vocabulary = _vocabulary(tokenizer)
    ids = [int(token) for token in tokens]
    window = _Window(vocabulary.decode)
    ends = []
    for token in ids:
        if token not in vocabulary.silent and token < vocabulary.known:
            window.push(token)
        ends.append(window.visible)
    text = vocabulary.decode(tuple(ids)).rstrip(_REPLACEMENT)
    # sentencepiece may decode a run of invalid bytes to fewer characters than its beginning.
    return Decoded(text, [min(end, len(text)) for end in ends])


class _Vocabulary(NamedTuple):
    """What decoding needs of a tokenizer."""

    silent: frozenset[int]
    """Tokens without text."""
    known: int
    """Number of tokens; a model's vocabulary may be padded beyond it."""
    decode: Callable[[tuple[int, ...]], str]


@lru_cache(maxsize=4)
def _vocabulary(tokenizer: PreTrainedTokenizerBase) -> _Vocabulary:
    silent = {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    return _Vocabulary(
        frozenset(silent | set(tokenizer.all_special_ids)),
        len(tokenizer),
        # A window is a few tokens long, and the same few recur.
        lru_cache(maxsize=1 << 16)(_decode_of(tokenizer)),
    )


def _decode_of(tokenizer: PreTrainedTokenizerBase) -> Callable[[tuple[int, ...]], str]:
    """Return the tokenizer's decode, without what transformers puts around its backend where that adds only time."""
    from transformers import PreTrainedTokenizerFast

    same = getattr(type(tokenizer), "_decode", None) is PreTrainedTokenizerFast._decode
    if not same or tokenizer.clean_up_tokenization_spaces:
        return lambda ids: str(tokenizer.decode(list(ids), skip_special_tokens=True))
    backend = tokenizer.backend_tokenizer
    return lambda ids: str(backend.decode(ids, skip_special_tokens=True))


class _Window:
    """Count of visible characters, token by token.

    A token's text depends on its neighbours: it is decoded after `context`, the tokens whose text is settled, and
    together with `pending`, the tokens whose last character may be unfinished.
    """

    def __init__(self, decode: Callable[[tuple[int, ...]], str]) -> None:
        self.decode = decode
        self.context: list[int] = []
        self.pending: list[int] = []
        self.context_chars = 0
        self.settled = 0
        self.visible = 0

    def push(self, token: int) -> None:
        self.pending.append(token)
        text = self.decode((*self.context, *self.pending))
        fresh = text[self.context_chars :]
        shown = fresh.rstrip(_REPLACEMENT)
        if shown:
            self.visible = self.settled + len(shown)
        if shown and len(shown) == len(fresh):
            self.settled = self.visible
            self.context, self.pending = self.pending, []
            self.context_chars = len(self.decode(tuple(self.context)))
        elif len(self.pending) % _LONGEST_PENDING == 0:
            self._settle_invalid(text)

    def _settle_invalid(self, text: str) -> None:
        """Settle the front of a long run of invalid bytes, split where both parts decode to the whole's text."""
        for cut in range(len(self.pending) - 8, len(self.pending) - 4):
            front, rest = self.context + self.pending[:cut], self.pending[cut:]
            front_text = self.decode(tuple(front))
            if front_text + self.decode(tuple(rest)) == text:
                self.settled += len(front_text) - self.context_chars
                self.context, self.pending, self.context_chars = [], rest, 0
                return
