"""RetrofitConfig: fields and flags of a retrofit, validated before anything is loaded; its schedule of the ratio."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, field_validator, model_validator

from hyperscale.config.fields import Device
from hyperscale.config.flag import Flag, checked
from hyperscale.model.spec import GateSpec
from hyperscale.text import format_tokens, parse_tokens

FREE_FIELDS = (
    "target_cr", "save_crs", "device", "data", "micro_batch", "recompute", "save_minutes", "output_dir",
)  # fmt: skip
"""Fields that may change between the sessions of a run, because they do not affect its result."""
_SAMPLE_FIELDS = ("data_from_model", "sample_temperature")
FADE_STEPS = {"borrowed": 2000, "dmc": 250}
"""Default steps of the fading phase: the DMS paper's (App. C), and Megatron's for DMC."""


@dataclass(frozen=True)
class Schedule:
    """Steps from 1: `fade_steps` that fade borrowed components out of attention, then the ramp.

    Step t of the ramp targets CR(t) = 1 + t / steps_per_cr, that is alpha*(t) = 1 - 1 / CR(t). No phase at constant CR
    follows: the paper found its benefit negligible (App. C).
    """

    target: float
    steps_per_cr: int
    fade_steps: int = 0

    @property
    def steps(self) -> int:
        """Steps in all."""
        return self.step_of(self.target)

    def step_of(self, ratio: float) -> int:
        """Return the step after which a checkpoint of this ratio is due."""
        return self.fade_steps + round((ratio - 1) * self.steps_per_cr)

    def ratio(self, step: int) -> float:
        """Return the target CR of a step; 1 while neurons fade."""
        return 1 + max(0, step - self.fade_steps) / self.steps_per_cr

    def share(self, step: int) -> float:
        """Return alpha*, the share of tokens to evict or merge at a step."""
        return 1 - 1 / self.ratio(step)

    def kept(self, step: int) -> float:
        """Return the share of a borrowed component in attention, from 1 down to 0 (App. C: q (1 - t / n_t))."""
        return max(0.0, 1 - step / self.fade_steps) if self.fade_steps else 0.0


def default_form(method: object) -> str:
    """Return the default form of a method's gates."""
    return "dmc" if method == "dmc" else "separate"


def _digit(text: str) -> int | str:
    """Read a signed digit; return other text unchanged for the field to refuse."""
    return int(text) if re.fullmatch(r"-?\d", text) else text


class RetrofitConfig(BaseModel, frozen=True, extra="forbid"):
    """A validated retrofit. Defaults are the paper's or, where it is silent, its authors' code."""

    model: Annotated[str, Flag("Model", "Hub id, checkpoint folder or .gguf file, without gates.")] = Field(
        min_length=1
    )
    revision: Annotated[str | None, Flag("Model", "Branch, tag or commit of a hub model.")] = None
    device: Annotated[Device, Flag("Model", "auto, cpu, cuda or cuda:N.")] = "auto"

    method: Annotated[Literal["dms", "dmc"], Flag("Gates", "dms: evict; dmc: merge.")] = "dms"
    form: Annotated[
        Literal["separate", "linear", "borrowed", "dmc"],
        Flag("Gates", "separate (default), linear or borrowed; dmc has its own."),
    ]
    window: Annotated[
        int,
        Flag(
            "Gates", "Sliding window in tokens that delays eviction (not dmc).", read=parse_tokens, show=format_tokens
        ),
    ] = Field(default=256, ge=0)
    decision_shift: Annotated[
        Literal[0, 1],
        Flag("Gates", "1: the next token decides a token's eviction; 0: itself (not dmc).", read=_digit, show=str),
    ] = 1
    immediate: Annotated[bool, Flag("Gates", "Ablation: decide when a token leaves the window.", off="--delayed")] = (
        False
    )
    """Whether eviction is decided when a token leaves the window (the paper's ablation)."""
    scale: Annotated[float, Flag("Gates", "Scale of the logit.")] = Field(default=100.0, gt=0, allow_inf_nan=False)
    bias: Annotated[float, Flag("Gates", "Bias of the logit, its initial value.")] = Field(
        default=-5.0, allow_inf_nan=False
    )
    borrowed_dim: Annotated[
        Literal[0, -1],
        Flag("Gates", "Dimension of --form borrowed: 0 (paper) or -1 (released).", read=_digit, show=str),
    ] = -1

    data: Annotated[Path | None, Flag("Data", "JSONL file of texts.")] = None
    dataset: Annotated[str | None, Flag("Data", "Hub dataset of texts.")] = None
    dataset_config: Annotated[str | None, Flag("Data", "Configuration of the dataset.")] = None
    dataset_revision: Annotated[str | None, Flag("Data", "Branch, tag or commit of the dataset.")] = None
    split: Annotated[str, Flag("Data", "Split of the dataset.")] = "train"
    text_field: Annotated[str, Flag("Data", "Field or column that holds the text.")] = "text"
    data_from_model: Annotated[
        bool, Flag("Data", "Take the texts as prompts and train on the model's answers.", off="--no-data-from-model")
    ] = False
    sample_temperature: Annotated[float | None, Flag("Data", "Temperature of these answers (default: 1).")] = Field(
        default=None, gt=0, allow_inf_nan=False
    )
    context: Annotated[
        int,
        Flag("Data", "Tokens per row, and cap on a prompt with its answer.", read=parse_tokens, show=format_tokens),
    ] = Field(default=4096, ge=2)

    target_cr: Annotated[float, Flag("Schedule", "CR at which training ends.")] = Field(default=8.0, gt=1, le=1024)
    save_crs: Annotated[
        tuple[float, ...],
        Flag("Schedule", "Comma list of intermediate CRs to save.", read=str),
    ] = ()
    """Intermediate ratios to save; the target is always saved."""
    steps_per_cr: Annotated[int, Flag("Schedule", "Steps per unit of CR.")] = Field(default=100, ge=1)
    fade_steps: Annotated[
        int, Flag("Schedule", "Steps of fading borrowed neurons first (borrowed: 2000; dmc: 250).")
    ] = Field(ge=0)

    train: Annotated[Literal["all", "gates"], Flag("Training", "all weights, or gates only.")] = "all"
    lr: Annotated[float, Flag("Training", "Learning rate, constant.")] = Field(default=3e-5, gt=0, allow_inf_nan=False)
    batch_size: Annotated[int, Flag("Training", "Rows per step.")] = Field(default=8, ge=1)
    micro_batch: Annotated[int | None, Flag("Training", "Rows per forward pass (default: all of a step).")] = Field(
        default=None, ge=1
    )
    clip: Annotated[float, Flag("Training", "Norm to which the gradient is clipped.")] = Field(
        default=1.0, gt=0, allow_inf_nan=False
    )
    tau: Annotated[float, Flag("Training", "Temperature of the relaxed decisions.")] = Field(
        default=0.1, gt=0, allow_inf_nan=False
    )
    autocast: Annotated[bool, Flag("Training", "Products in bfloat16, weights in float32.", off="--no-autocast")] = (
        False
    )
    recompute: Annotated[
        bool,
        Flag("Training", "Activation checkpointing: less memory, a third slower.", off="--no-recompute"),
    ] = False
    seed: Annotated[int, Flag("Training", "Seed of noise, text order and samples.")] = Field(default=0, ge=0, lt=2**63)

    save_minutes: Annotated[float, Flag("Output", "Minutes between saved states, or samples.")] = Field(
        default=5.0, ge=0, allow_inf_nan=False
    )
    output_dir: Annotated[Path, Flag("Output", "Folder of the run (default: retrofits/MODEL--METHOD).", short="-o")]

    @field_validator("save_crs")
    @classmethod
    def _sorted(cls, ratios: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(sorted(set(ratios)))

    @model_validator(mode="before")
    @classmethod
    def _dependent_defaults(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """Fill in defaults that depend on other fields: form, fade_steps and sample_temperature."""
        fields = {name: value for name, value in fields.items() if value is not None}
        form = fields.setdefault("form", default_form(fields.get("method")))
        fields.setdefault("fade_steps", FADE_STEPS.get(form, 0))
        if fields.get("data_from_model"):
            fields.setdefault("sample_temperature", 1.0)
        return fields

    @model_validator(mode="after")
    def _consistent(self) -> RetrofitConfig:
        if (self.method == "dmc") != (self.form == "dmc"):
            raise ValueError(f"--form {self.form} is not a form of --method {self.method}; leave it out")
        if self.method == "dmc" and self.immediate:
            raise ValueError("--immediate is an ablation of --method dms; leave it out for dmc")
        # A row's last token comes context - 1 tokens after its first.
        if self.method == "dms" and self.window >= self.context - 1:
            raise ValueError(
                f"--window {self.window:,}: no token of a row of --context {self.context:,} leaves it, so nothing "
                "would be evicted; lower --window or raise --context"
            )
        if self.train == "gates" and self.form not in ("separate", "linear"):
            raise ValueError(f"--train gates: gates of form {self.form} have no weights of their own; use --train all")
        if self.fade_steps and self.form not in FADE_STEPS:
            raise ValueError(f"--fade-steps: gates of form {self.form} borrow no neuron; leave it out")
        if self.data is not None and self.dataset is not None:
            raise ValueError("give the text either as --data or as --dataset")
        if self.data_from_model and self.data is None and self.dataset is None:
            raise ValueError("--data-from-model answers prompts: give them as --data FILE.jsonl or --dataset HUB_ID")
        if self.sample_temperature is not None and not self.data_from_model:
            raise ValueError("--sample-temperature applies to the model's own answers: it needs --data-from-model")
        wrong = [ratio for ratio in self.save_crs if not 1 < ratio <= self.target_cr]
        if wrong:
            raise ValueError(f"--save-crs {wrong[0]:g} is not between 1 and --target-cr {self.target_cr:g}")
        self._check_steps()
        return self

    def _check_steps(self) -> None:
        """Raise ValueError unless each ratio has its own step."""
        before, last = 1.0, self.fade_steps
        for ratio in self.family:
            flag = "--target-cr" if ratio == self.target_cr else "--save-crs"
            step = self.schedule.step_of(ratio)
            if step <= last:
                raise ValueError(
                    f"{flag} {ratio:g} falls on the same step as CR {before:g}: --steps-per-cr {self.steps_per_cr} is "
                    "too few; raise it"
                )
            before, last = ratio, step

    @property
    def schedule(self) -> Schedule:
        """Schedule of the ratio over the steps."""
        return Schedule(self.target_cr, self.steps_per_cr, self.fade_steps)

    @property
    def rows(self) -> int:
        """Rows of all steps together."""
        return self.schedule.steps * self.batch_size

    @property
    def family(self) -> tuple[float, ...]:
        """Ratios to save, ascending."""
        return tuple(sorted({*self.save_crs, self.target_cr}))

    def gates(self, ratio: float | None = None) -> GateSpec:
        """Return the gates that a checkpoint of this ratio declares."""
        return GateSpec(
            form=self.form, scale=self.scale, bias=self.bias, borrowed_dim=self.borrowed_dim, window=self.window,
            decision_shift=self.decision_shift, immediate=self.immediate, ratio=ratio,
        )  # fmt: skip

    def identity(self) -> dict[str, Any]:
        """Return the fields that decide the result, as JSON values."""
        # Without samples their fields have no effect; leaving them out lets runs older than them resume.
        unused = () if self.data_from_model else _SAMPLE_FIELDS
        return self.model_dump(mode="json", exclude={*FREE_FIELDS, *unused})


def make_retrofit(**fields: Any) -> RetrofitConfig:
    """Make a RetrofitConfig, None meaning the default; ValueError names the wrong flag in one line."""
    return checked(RetrofitConfig, fields)
