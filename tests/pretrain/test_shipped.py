"""What the package ships: that it is whole, and does what the docs say."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch

from hyperscale.cli.main import run
from hyperscale.model.load import load_model, load_spec
from hyperscale.model.source import EMBEDDED, family_of
from hyperscale.pretrain.shipped import FAMILIES, Documents, assemble, config_of
from hyperscale.tasks.generators import GENERATORS
from hyperscale.tasks.generators.vocabulary import VOCABULARY, make_tokenizer
from tests.pretrain.small import SMALL


@pytest.mark.parametrize("name", sorted(EMBEDDED))
def test_every_checkpoint_is_there_and_of_its_ratio(name: str) -> None:
    family = family_of(name)
    assert family is not None
    assert load_spec(name).gates is None
    for (backend, ratio), path in family.members.items():
        gates = load_spec(path).gates
        assert gates is not None
        assert gates.ratio == ratio
        assert (gates.form == "dmc") == (backend == "dmc")
        assert gates.immediate == (name == "tiny-immediate")
    files = [path for path in EMBEDDED[name].rglob("*") if path.is_file()]
    assert max(path.stat().st_size for path in files) < 8_000_000


def test_it_is_small_and_reads_the_tasks_words() -> None:
    model = load_model("tiny", device="cpu")
    assert 1_000_000 <= sum(weight.numel() for weight in model.decoder.parameters()) <= 3_000_000
    assert model.tokenizer.get_vocab() == make_tokenizer().get_vocab()
    assert model.spec.vocab == len(VOCABULARY)


@pytest.mark.slow
def test_it_solves_the_tasks_and_dms_does_so_with_a_fraction_of_the_cache(tmp_path: Path) -> None:
    """12 problems a task: far from the reference run's numbers, but a broken checkpoint or backend shows."""
    out = tmp_path / "out"
    arguments = ["sweep", "--limit", "12", "--widths", "1", "--lengths", "512", "--pool", "2", "-o", str(out)]
    assert run([*arguments, "--backends", "vanilla,h2o,dms", "--cr", "4"]) == 0
    points = pd.read_parquet(out / "points.parquet").set_index(["task", "backend"])
    accuracy = points["accuracy"]
    assert accuracy["trace", "vanilla"] >= 0.9
    assert accuracy["countdown", "vanilla"] >= 0.7
    assert accuracy["trace", "dms"] >= 0.8
    assert accuracy["trace", "h2o"] <= 0.5
    for column in ("kv_reads", "peak_tokens"):
        assert points[column]["trace", "dms"] < 0.5 * points[column]["trace", "vanilla"]


def test_documents_are_whole_chains_of_which_the_prompt_does_not_count() -> None:
    batches = Documents(8, 512)
    batch = batches.batch(3)
    assert all(torch.equal(a, b) for a, b in zip(batch, Documents(8, 512).batch(3), strict=True))
    kinds = set()
    for tokens_t, document_t, counted_t in zip(*batch, strict=True):
        text = [VOCABULARY[i] for i in tokens_t[document_t == 0].tolist()]
        kinds.add(text[0])
        start = text.index(";") if text[0] == "countdown" else text.index("?") + 4
        counted = counted_t.nonzero().flatten().tolist()
        assert counted == list(range(start, len(text) - 1))
    assert kinds == set(GENERATORS)


def test_the_families_are_put_together_from_the_runs(tmp_path: Path) -> None:
    from hyperscale.pretrain.shipped import run_retrofit
    from hyperscale.pretrain.train import train
    from hyperscale.retrofit.progress import Progress

    model = train(SMALL, tmp_path / "run", lambda row: None, compiled=False)
    assert model is not None
    for name in ("dms", "immediate", "dmc"):
        config = config_of(
            name, model, tmp_path / "retrofits", batch_size=2, steps_per_cr=1, context=256,
            **({"fade_steps": 1} if name == "dmc" else {}),
        )  # fmt: skip
        assert run_retrofit(config, Progress(None))
    assemble(model, tmp_path / "retrofits", tmp_path / "tiny")
    assemble(model, tmp_path / "retrofits", tmp_path / "tiny")
    for folder, members in FAMILIES.items():
        family = family_of(str(tmp_path / "tiny" / folder))
        assert family is not None
        assert family.members.keys() == members.keys()
        assert load_spec(str(tmp_path / "tiny" / folder)).gates is None
        for path in family.members.values():
            load_model(path, device="cpu")
