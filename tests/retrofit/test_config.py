from __future__ import annotations

from pathlib import Path

import pytest

from hyperscale.cli.options import retrofit_config
from hyperscale.config import stable_hash
from hyperscale.retrofit.config import make_retrofit


def test_an_identity_is_the_same_in_every_release() -> None:
    config = make_retrofit(model="m", output_dir="x", data="t.jsonl")
    assert config.identity() == {
        "model": "m", "revision": None, "method": "dms", "form": "separate", "window": 256, "decision_shift": 1,
        "immediate": False, "scale": 100.0, "bias": -5.0, "borrowed_dim": -1, "dataset": None,
        "dataset_config": None, "dataset_revision": None, "split": "train", "text_field": "text", "context": 4096,
        "steps_per_cr": 100, "fade_steps": 0, "train": "all", "lr": 3e-05, "clip": 1.0, "tau": 0.1, "batch_size": 8,
        "autocast": False, "seed": 0,
    }  # fmt: skip
    assert stable_hash(config.identity()) == "08e26bae13ab5fdb"


def test_typed_flags_make_a_config() -> None:
    config = retrofit_config(
        model="a/b", window="1k", context="8k", save_crs="3,2,9", decision_shift="0", form="borrowed", borrowed_dim="0"
    )
    assert (config.window, config.context, config.save_crs) == (1024, 8192, (2, 3))
    assert (config.decision_shift, config.borrowed_dim, config.fade_steps) == (0, 0, 2000)
    assert config.output_dir == Path("retrofits/a--b--dms")
    assert retrofit_config(model="m", method="dmc").form == "dmc"
    assert retrofit_config(model="m", target_cr=4.0).save_crs == (2, 3, 4)
    assert make_retrofit(model="m", output_dir="x").save_crs == ()


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ({"method": "dmc", "window": "256"}, "--window is of DMS"),
        ({"method": "dmc", "decision_shift": "1"}, "--decision-shift is of DMS"),
        ({"borrowed_dim": "-1"}, "--borrowed-dim is of --form borrowed: gates of form separate"),
        ({"form": "borrowed", "borrowed_dim": "2"}, "--borrowed-dim 2: must be 0 or -1"),
        ({"decision_shift": "x"}, "--decision-shift 'x': must be 0 or 1"),
        ({"window": "8x"}, "--window: '8x' is not a size in tokens"),
        ({"save_crs": "2,,3"}, "--save-crs '2,,3': a comma list of numbers is expected"),
    ],
)
def test_mistakes_name_the_flag(typed: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        retrofit_config(model="m", **typed)
    assert str(caught.value).startswith(message)
