"""The flags of `hyperscale retrofit`, and the config they make."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

from hyperscale.cli.options import option
from hyperscale.retrofit.config import RetrofitConfig, make_retrofit
from hyperscale.text import parse_list, parse_tokens

_MODEL, _GATES, _DATA, _SCHEDULE, _TRAINING, _OUTPUT = "Model", "Gates", "Data", "Schedule", "Training", "Output"


@dataclass(frozen=True)
class RetrofitOptions:
    """What `hyperscale retrofit` takes, as typed."""

    model: Annotated[str, option(_MODEL, "Hub id, checkpoint folder or .gguf file, without gates.", "--model")]
    revision: Annotated[str | None, option(_MODEL, "Branch, tag or commit of a hub model.", "--revision")] = None
    device: Annotated[str, option(_MODEL, "auto, cpu, cuda or cuda:N.", "--device")] = "auto"
    method: Annotated[str, option(_GATES, "dms: evict; dmc: merge.", "--method")] = "dms"
    form: Annotated[
        str | None, option(_GATES, "separate (default), linear or borrowed; dmc has its own.", "--form")
    ] = None
    window: Annotated[
        str | None, option(_GATES, "Tokens that an eviction waits for (default: 256; not dmc).", "--window")
    ] = None
    decision_shift: Annotated[
        str | None,
        option(_GATES, "1 (default): the token after decides a token's fate; 0: itself (not dmc).", "--decision-shift"),
    ] = None
    immediate: Annotated[
        bool, option(_GATES, "Ablation: decide when a token leaves the window.", "--immediate/--delayed")
    ] = False
    scale: Annotated[float | None, option(_GATES, "Of the logit (default: 100).", "--scale")] = None
    bias: Annotated[float, option(_GATES, "Of the logit: where it begins.", "--bias")] = -5.0
    borrowed_dim: Annotated[
        str | None,
        option(_GATES, "Dimension of --form borrowed: 0 (paper) or -1 (released; default).", "--borrowed-dim"),
    ] = None
    data: Annotated[Path | None, option(_DATA, "JSONL file of texts.", "--data")] = None
    dataset: Annotated[str | None, option(_DATA, "Hub dataset of texts.", "--dataset")] = None
    dataset_config: Annotated[str | None, option(_DATA, "Its configuration.", "--dataset-config")] = None
    dataset_revision: Annotated[str | None, option(_DATA, "Its branch, tag or commit.", "--dataset-revision")] = None
    split: Annotated[str, option(_DATA, "Its split.", "--split")] = "train"
    text_field: Annotated[str, option(_DATA, "Field or column that holds the text.", "--text-field")] = "text"
    data_from_model: Annotated[
        bool,
        option(
            _DATA, "The texts are prompts: train on the model's own answers.", "--data-from-model/--no-data-from-model"
        ),
    ] = False
    sample_temperature: Annotated[
        float | None, option(_DATA, "Of these answers (default: 1).", "--sample-temperature")
    ] = None
    context: Annotated[str, option(_DATA, "Tokens of a row: 4k. The most of a prompt and its answer.", "--context")] = (
        "4k"
    )
    target_cr: Annotated[float, option(_SCHEDULE, "CR at which training ends.", "--target-cr")] = 8.0
    save_crs: Annotated[
        str, option(_SCHEDULE, "Comma list of CRs to save on the way; those above --target-cr fall away.", "--save-crs")
    ] = "2,3,4,6,8"
    steps_per_cr: Annotated[int, option(_SCHEDULE, "Steps in which CR rises by 1.", "--steps-per-cr")] = 100
    fade_steps: Annotated[
        int | None,
        option(_SCHEDULE, "Steps before, in which borrowed neurons fade (borrowed: 2000; dmc: 250).", "--fade-steps"),
    ] = None
    train: Annotated[str, option(_TRAINING, "all weights, or gates only.", "--train")] = "all"
    lr: Annotated[float, option(_TRAINING, "Learning rate, constant.", "--lr")] = 3e-5
    batch_size: Annotated[int, option(_TRAINING, "Rows of a step.", "--batch-size")] = 8
    micro_batch: Annotated[
        int | None, option(_TRAINING, "Rows that pass together (default: all of a step's).", "--micro-batch")
    ] = None
    clip: Annotated[float, option(_TRAINING, "Greatest norm of the gradient.", "--clip")] = 1.0
    tau: Annotated[float, option(_TRAINING, "Temperature of the relaxed decisions.", "--tau")] = 0.1
    autocast: Annotated[
        bool, option(_TRAINING, "Products in bfloat16, weights in float32.", "--autocast/--no-autocast")
    ] = False
    recompute: Annotated[
        bool, option(_TRAINING, "Activation checkpointing: less memory, a third slower.", "--recompute/--no-recompute")
    ] = False
    seed: Annotated[int, option(_TRAINING, "Of the noise, the text's order and the samples.", "--seed")] = 0
    save_minutes: Annotated[float, option(_OUTPUT, "Minutes between saved states, or samples.", "--save-minutes")] = 5.0
    output_dir: Annotated[
        Path | None, option(_OUTPUT, "Folder of the run (default: retrofits/MODEL--METHOD).", "--output-dir", "-o")
    ] = None

    def to_config(self) -> RetrofitConfig:
        """The validated config; ValueError names the flag at fault."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        self._check_used()
        given["window"] = None if self.window is None else _parsed("--window", self.window)
        given["context"] = _parsed("--context", self.context)
        for name in ("decision_shift", "borrowed_dim"):
            given[name] = int(given[name]) if re.fullmatch(r"-?\d", given[name] or "") else given[name]
        given["save_crs"] = tuple(ratio for ratio in _ratios(self.save_crs) if ratio <= self.target_cr)
        given["output_dir"] = self.output_dir or Path("retrofits") / _folder_name(self.model, self.method)
        return make_retrofit(**given)

    def _check_used(self) -> None:
        """ValueError for a flag that was given and that nothing would come of."""
        if self.method == "dmc":
            for flag, value in (("--window", self.window), ("--decision-shift", self.decision_shift)):
                if value is not None:
                    raise ValueError(f"{flag} is of DMS: DMC merges a token at once, as the token itself decides")
        form = self.form or ("dmc" if self.method == "dmc" else "separate")
        if self.borrowed_dim is not None and form != "borrowed":
            raise ValueError(f"--borrowed-dim is of --form borrowed: gates of form {form} leave no choice of it")


def _parsed(flag: str, text: str) -> int:
    try:
        return parse_tokens(text)
    except ValueError as error:
        raise ValueError(f"{flag}: {error}") from None


def _ratios(text: str) -> tuple[float, ...]:
    try:
        ratios = tuple(float(entry) for entry in parse_list(text))
    except ValueError:
        ratios = ()
    if not ratios or not all(math.isfinite(ratio) for ratio in ratios):
        raise ValueError(
            f"--save-crs {text!r}: a comma list of numbers is expected, such as 2,4,8 (--target-cr is saved anyway)"
        )
    return ratios


def _folder_name(model: str, method: str) -> str:
    path = Path(model)
    name = path.resolve().stem if model.endswith(".gguf") else path.resolve().name if path.is_dir() else model
    return re.sub(r"[^\w.-]+", "-", f"{name.replace('/', '--')}--{method}")
