"""Training data: batches of generated documents, one per row, in few shapes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from hyperscale.pretrain.recipe import Mixture, Recipe
from hyperscale.tasks.generators import GENERATORS, example
from hyperscale.tasks.generators.base import random_numbers
from hyperscale.tasks.generators.trace import recall
from hyperscale.tasks.generators.vocabulary import VOCABULARY

IGNORED = -1
"""Target that the loss ignores: of padding, and of a prompt's tokens but the last."""
KINDS = ("recall", *GENERATORS)

_GROUP_TOKENS = 24
"""Size of a group in steps' worth of tokens without padding; padded they make about 30 steps."""
_MULTIPLE = 64
_MOST_DOCUMENTS = 100_000
_IDS = {word: i for i, word in enumerate(VOCABULARY)}
_VERDICTS = torch.tensor([_IDS["yes"], _IDS["no"]])


class Document(NamedTuple):
    """A problem and its chain."""

    kind: str
    tokens: list[int]
    prompt_tokens: int


class Step(NamedTuple):
    """b rows of t tokens, one document and padding each."""

    tokens_bt: Tensor
    targets_bt: Tensor
    weights_bt: Tensor
    kind_b: Tensor
    """Index into KINDS; IGNORED for empty rows."""


def steps_of(recipe: Recipe, group: int) -> list[Step]:
    """Make the steps of a group, about 30; the same group always gives the same steps.

    Row lengths are multiples of 64, and each length has a fixed number of rows, so compiled code sees eight shapes.
    Documents that do not fill a shape move on to the next longer one; the last step may have empty rows, and its tokens
    then weigh more.
    """
    rng = random_numbers("pretrain", recipe.seed, group)
    waiting = sorted(documents(recipe, group), key=lambda document: len(document.tokens))
    steps: list[Step] = []
    carried: list[Document] = []
    for length in range(_MULTIPLE, recipe.max_tokens + 1, _MULTIPLE):
        rows = max(1, round(recipe.tokens_per_step / length))
        while waiting and len(waiting[0].tokens) <= length:
            carried.append(waiting.pop(0))
        while len(carried) >= rows:
            steps.append(_step(carried[:rows], rows, length, recipe))
            carried = carried[rows:]
    if carried:
        steps.append(_step(carried, rows, length, recipe))
    rng.shuffle(steps)
    return steps


def documents(recipe: Recipe, group: int) -> Iterator[Document]:
    """Yield documents of a group's mixture up to the group's size, skipping those that are too long."""
    mixture = recipe.opening if group < recipe.opening_groups else recipe.mixture
    rng = random_numbers("mixture", recipe.seed, group)
    held = number = 0
    while held < _GROUP_TOKENS * recipe.tokens_per_step:
        kind = _choose(mixture, rng.random())
        found = document(kind, recipe.seed, group * _MOST_DOCUMENTS + number, recipe.max_tokens)
        number += 1
        if len(found.tokens) <= recipe.max_tokens:
            held += len(found.tokens)
            yield found


def document(kind: str, seed: int, index: int, max_tokens: int) -> Document:
    """Generate document `index` of a kind's endless training stream."""
    if kind == "recall":
        prompt, chain = recall(seed, index)
    else:
        drawn = example(GENERATORS[kind], seed, "train", index, max_tokens)
        prompt, chain = drawn.puzzle.prompt, drawn.chain
    words = prompt.split()
    return Document(kind, [_IDS[word] for word in (*words, *chain.split())], len(words))


def _choose(mixture: Mixture, at: float) -> str:
    for kind, share in mixture.items():
        at -= share
        if at < 0:
            return kind
    return kind


def _step(chosen: list[Document], rows: int, length: int, recipe: Recipe) -> Step:
    tokens_bt = torch.zeros(rows, length, dtype=torch.long)
    targets_bt = torch.full((rows, length), IGNORED)
    kind_b = torch.full((rows,), IGNORED)
    for row, (kind, tokens, prompt) in enumerate(chosen):
        tokens_bt[row, : len(tokens)] = torch.tensor(tokens)
        targets_bt[row, prompt - 1 : len(tokens) - 1] = torch.tensor(tokens[prompt:])
        kind_b[row] = KINDS.index(kind)
    weights_bt = (targets_bt != IGNORED).float()
    weights_bt[torch.isin(targets_bt, _VERDICTS)] = recipe.verdict_weight
    return Step(tokens_bt, targets_bt, weights_bt, kind_b)
