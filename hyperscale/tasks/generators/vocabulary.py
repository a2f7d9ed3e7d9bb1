"""The vocabulary of the generated tasks, one token a word, and its tokenizer."""

from __future__ import annotations

import string
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

NAMES = tuple(string.ascii_lowercase)
"""Variables: `c` uses one; `c=`, a word of its own, defines it."""

_SPECIAL = ("<pad>", "<eos>", "<unk>")
_MARKS = ("countdown", "trace", "recall", ":", ";", ",", "?", "=", "+", "-", "~", "yes", "no", "answer", "#")
_WORDS = (
    *_SPECIAL,
    *_MARKS,
    *NAMES,
    *(f"{name}=" for name in NAMES),
    *(f"+{constant}" for constant in range(1, 17)),
    *map(str, range(100)),
)
_MULTIPLE = 16

VOCABULARY = (*_WORDS, *(f"<x{i}>" for i in range(-len(_WORDS) % _MULTIPLE)))
"""Every word at its token id, padded to a multiple of 16. The order is that of trained checkpoints."""

CHAT_TEMPLATE = (
    "{%- if messages | length != 1 or messages[0]['role'] != 'user' -%}"
    "{{- raise_exception('it takes one user message and nothing else') -}}"
    "{%- endif -%}"
    "{{- messages[0]['content'] -}}"
)
"""Template that adds nothing to the prompt: no beginning-of-text token, no turn markers."""


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Make a word-level tokenizer that splits at white space. Unknown words become `<unk>`."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(VOCABULARY)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="<pad>",
        eos_token="<eos>",
        unk_token="<unk>",
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def write_tokenizer(folder: Path) -> None:
    """Save the tokenizer into a checkpoint's folder, as `AutoTokenizer` reads it."""
    make_tokenizer().save_pretrained(folder)
