"""What a training step is made of, compared with the generators' own words."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import torch

from hyperscale.pretrain.corpus import IGNORED, KINDS, document, documents, steps_of
from hyperscale.pretrain.recipe import Recipe
from hyperscale.tasks.generators import GENERATORS, example, split_of
from hyperscale.tasks.generators.vocabulary import VOCABULARY
from tests.pretrain.small import SMALL


def words(ids: torch.Tensor) -> list[str]:
    return [VOCABULARY[i] for i in ids.tolist()]


def test_every_row_is_a_document_whose_chain_is_to_be_learnt() -> None:
    wanted = Counter(" ".join(VOCABULARY[i] for i in found.tokens) for found in documents(SMALL, 3))
    seen: Counter[str] = Counter()
    for step in steps_of(SMALL, 3):
        assert step.tokens_bt.shape[1] % 64 == 0
        for row in range(len(step.tokens_bt)):
            if step.kind_b[row] == IGNORED:
                assert not step.tokens_bt[row].any()
                assert not step.weights_bt[row].any()
                continue
            text = words(step.tokens_bt[row])
            length = text.index("<eos>") + 1 if "<eos>" in text else len([word for word in text if word != "<pad>"])
            assert set(text[length:]) <= {"<pad>"}
            seen[" ".join(text[:length])] += 1
            # The prompt ends with its last mark; what follows is the chain, each word the target of the one before.
            start = {"countdown": text.index(";") if ";" in text else 0, "trace": 0, "recall": 0}[text[0]]
            if text[0] == "trace":
                start = text.index("?") + 4
            if text[0] == "recall":
                start = text.index("?")
            for t in range(step.tokens_bt.shape[1]):
                target, weight = int(step.targets_bt[row, t]), float(step.weights_bt[row, t])
                if start <= t < length - 1:
                    assert VOCABULARY[target] == text[t + 1]
                    assert weight == (SMALL.verdict_weight if text[t + 1] in ("yes", "no") else 1)
                else:
                    assert (target, weight) == (IGNORED, 0)
            assert KINDS[int(step.kind_b[row])] == text[0]
    assert seen == wanted


def test_steps_are_the_same_whenever_they_are_asked_for() -> None:
    one, other = steps_of(SMALL, 1), steps_of(SMALL, 1)
    assert all(
        torch.equal(a, b) for left, right in zip(one, other, strict=True) for a, b in zip(left, right, strict=True)
    )
    another_seed = steps_of(replace(SMALL, seed=1), 1)
    assert not torch.equal(one[0].tokens_bt[:1, :10], another_seed[0].tokens_bt[:1, :10])


def test_the_mixture_changes_after_the_opening() -> None:
    recipe = Recipe()
    share = [
        Counter(found.kind for found in documents(recipe, group))["recall"] / len(list(documents(recipe, group)))
        for group in (0, recipe.opening_groups)
    ]
    assert abs(share[0] - recipe.opening["recall"]) < 0.1
    assert abs(share[1] - recipe.mixture["recall"]) < 0.02


def test_nothing_of_the_test_set_is_learnt() -> None:
    for kind, generator in GENERATORS.items():
        for index in range(200):
            drawn = example(generator, 0, "train", index, 512)
            assert split_of(drawn.puzzle) == "train"
            found = document(kind, 0, index, 512)
            assert " ".join(VOCABULARY[i] for i in found.tokens) == f"{drawn.puzzle.prompt} {drawn.chain}"
            assert found.prompt_tokens == len(drawn.puzzle.prompt.split())


def test_the_learning_rate_rises_holds_and_falls_to_zero() -> None:
    recipe = Recipe()
    rates = [recipe.learning_rate(step) for step in range(recipe.steps)]
    held = round(recipe.steps * (1 - recipe.decay))
    assert rates[0] == recipe.lr / recipe.warmup_steps
    assert rates[recipe.warmup_steps : held] == [recipe.lr] * (held - recipe.warmup_steps)
    assert all(left > right for left, right in zip(rates[held + 1 :], rates[held + 2 :], strict=False))
    assert 0 < rates[-1] < recipe.lr / 1000
