"""The training run: its start, its end, and what a kill leaves of it."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from hyperscale.model.load import load_model
from hyperscale.pretrain.recipe import Recipe, make_start
from hyperscale.pretrain.train import Training, train
from hyperscale.retrofit.log import read_log
from hyperscale.tasks.generators import GENERATORS, example
from hyperscale.tasks.generators.trace import recall
from tests.pretrain.small import SMALL
from tests.processes import PROCESSES


def whole(folder: Path) -> Path:
    """An uninterrupted run."""
    checkpoint = train(SMALL, folder, lambda row: None, compiled=False)
    assert checkpoint is not None
    return checkpoint


def live(folder: str, steps: int) -> None:
    """A run in a process of its own, whose state is saved at every step."""
    torch.set_num_threads(1)
    train(replace(SMALL), Path(folder), lambda row: None, compiled=False, save_minutes=0)


@pytest.mark.slow
def test_a_run_that_is_killed_ends_with_the_same_bits(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        reference = whole(tmp_path / "whole")
        process = PROCESSES.Process(target=live, args=(str(tmp_path / "killed"), 0))
        process.start()
        state = tmp_path / "killed" / "state.pt"
        while not state.exists():
            assert process.is_alive()
            time.sleep(0.02)
        time.sleep(0.1)
        process.kill()
        process.join()
        steps = Training(SMALL, tmp_path / "killed").step
        assert 0 < steps <= SMALL.steps
        again = whole(tmp_path / "killed")
    finally:
        torch.set_num_threads(threads)
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        assert (again / name).read_bytes() == (reference / name).read_bytes()
    rows = [read_log(tmp_path / name, SMALL.steps) for name in ("whole", "killed")]
    assert [row["loss"] for row in rows[0]] == [row["loss"] for row in rows[1]][-1:]
    assert rows[0][-1]["tokens"] == rows[1][-1]["tokens"]


def test_the_checkpoint_is_read_by_transformers_and_by_us(tmp_path: Path) -> None:
    folder = whole(tmp_path / "run")
    model = load_model(str(folder), dtype="float32", device="cpu")
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    drawn = example(GENERATORS["trace"], 0, "test", 0)
    ids = model.tokenizer(f"{drawn.puzzle.prompt} {drawn.chain}", return_tensors="pt").input_ids
    trained = Training(SMALL, tmp_path / "run").model
    rounded = {name: weight.bfloat16().float() for name, weight in trained.state_dict().items()}
    assert all(torch.equal(weight, theirs.state_dict()[name]) for name, weight in rounded.items())
    assert model.eos_ids == {model.tokenizer.convert_tokens_to_ids("<eos>")}
    assert model.tokenizer.decode(ids[0]) == f"{drawn.puzzle.prompt} {drawn.chain}"


def test_another_recipe_needs_another_folder(tmp_path: Path) -> None:
    whole(tmp_path / "run")
    with pytest.raises(ValueError, match="another recipe"):
        train(replace(SMALL, seed=1), tmp_path / "run", lambda row: None, compiled=False)


def test_a_few_steps_lower_the_loss(tmp_path: Path) -> None:
    training = Training(replace(SMALL, steps=40, lr=3e-3), tmp_path)
    tmp_path.mkdir(exist_ok=True)
    losses = [training.take_step()["loss"] for _ in range(40)]
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


@torch.no_grad()
def test_the_start_looks_back_and_finds_what_followed() -> None:
    """Attention of the untrained model: one and two tokens back in layer 0; to what followed the token in layer 1."""
    model = make_start(Recipe()).eval()
    model.set_attn_implementation("eager")
    tokenizer_ids = _ids(" ".join(recall(5, 1, (20, 20))))
    attended = model(torch.tensor([tokenizer_ids]), output_attentions=True).attentions
    n = len(tokenizer_ids)
    here = torch.arange(30, n)
    assert attended[0][0, 0][here, here - 1].mean() > 0.5
    assert attended[0][0, 1][here, here - 2].mean() > 0.5
    # `c=` of the second list matches the place after `c=` of the first: what is to be written next.
    found = [
        (t, tokenizer_ids.index(token) + 1)
        for t, token in enumerate(tokenizer_ids)
        if _word(token).endswith("=") and len(_word(token)) == 2 and tokenizer_ids.index(token) < t
    ]
    assert len(found) == 20
    assert sum(float(attended[1][0, 0, t, place]) for t, place in found) / len(found) > 0.3


def _ids(text: str) -> list[int]:
    from hyperscale.tasks.generators.vocabulary import VOCABULARY

    return [VOCABULARY.index(word) for word in text.split()]


def _word(token: int) -> str:
    from hyperscale.tasks.generators.vocabulary import VOCABULARY

    return VOCABULARY[token]
