"""RetrofitConfig: everything that a retrofit is asked for, checked before anything is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from hyperscale.config import Device, in_one_line
from hyperscale.model.gate_spec import GateSpec
from hyperscale.retrofit.schedule import Schedule

FREE_FIELDS = (
    "target_cr", "save_crs", "device", "data", "micro_batch", "recompute", "save_minutes", "output_dir",
)  # fmt: skip
"""Fields that may change between the sessions of a run: they say how far and how, not what is computed."""

_SAMPLE_FIELDS = ("data_from_model", "sample_temperature")

FADE_STEPS = {"borrowed": 2000, "dmc": 250}
"""Default length of the phase that frees a borrowed neuron: the DMS paper's (App. C), and Megatron's for DMC."""


class RetrofitConfig(BaseModel, frozen=True, extra="forbid"):
    """A validated retrofit. Defaults are the paper's or, where it is silent, its authors' code."""

    model: str = Field(min_length=1)
    revision: str | None = None
    device: Device = "auto"

    method: Literal["dms", "dmc"] = "dms"
    form: Literal["separate", "linear", "borrowed", "dmc"]
    window: int = Field(default=256, ge=0)
    decision_shift: Literal[0, 1] = 1
    immediate: bool = False
    """The paper's ablation: a token's fate is decided only when it leaves the window."""
    scale: float = Field(default=100.0, gt=0, allow_inf_nan=False)
    bias: float = Field(default=-5.0, allow_inf_nan=False)
    borrowed_dim: Literal[0, -1] = -1

    data: Path | None = None
    """JSONL file of texts."""
    dataset: str | None = None
    dataset_config: str | None = None
    dataset_revision: str | None = None
    split: str = "train"
    text_field: str = "text"
    data_from_model: bool = False
    """Whether the texts are prompts, and what is trained on is the model's answers."""
    sample_temperature: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Of the answers; None without them."""
    context: int = Field(default=4096, ge=2)
    """Tokens of a row of text; the most of a prompt and its answer."""

    target_cr: float = Field(default=8.0, gt=1, le=1024)
    save_crs: tuple[float, ...] = ()
    """Ratios of which a checkpoint is saved; the target is always among them."""
    steps_per_cr: int = Field(default=100, ge=1)
    fade_steps: int = Field(ge=0)

    train: Literal["all", "gates"] = "all"
    lr: float = Field(default=3e-5, gt=0, allow_inf_nan=False)
    clip: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    tau: float = Field(default=0.1, gt=0, allow_inf_nan=False)
    batch_size: int = Field(default=8, ge=1)
    """Rows of a step."""
    micro_batch: int | None = Field(default=None, ge=1)
    """Rows that go through the model together; None for all of a step's."""
    autocast: bool = False
    recompute: bool = False
    seed: int = Field(default=0, ge=0, lt=2**63)

    save_minutes: float = Field(default=5.0, ge=0, allow_inf_nan=False)
    output_dir: Path

    @field_validator("save_crs")
    @classmethod
    def _sorted(cls, ratios: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(sorted(set(ratios)))

    @model_validator(mode="before")
    @classmethod
    def _dependent_defaults(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """DMC has one form; only borrowed neurons must fade; only samples have a temperature."""
        fields = {name: value for name, value in fields.items() if value is not None}
        form = fields.setdefault("form", "dmc" if fields.get("method") == "dmc" else "separate")
        fields.setdefault("fade_steps", FADE_STEPS.get(form, 0))
        if fields.get("data_from_model"):
            fields.setdefault("sample_temperature", 1.0)
        return fields

    @model_validator(mode="after")
    def _consistent(self) -> RetrofitConfig:
        if (self.method == "dmc") != (self.form == "dmc"):
            raise ValueError(f"--form {self.form} is not a form of --method {self.method}")
        if self.method == "dmc" and self.immediate:
            raise ValueError("--immediate is an ablation of DMS: DMC decides at once anyway")
        # A row's last token is context - 1 after its first.
        if self.method == "dms" and self.window >= self.context - 1:
            raise ValueError(
                f"--window {self.window:,}: no token of a row of --context {self.context:,} leaves it, so no mask "
                "would test what the gates decide"
            )
        if self.train == "gates" and self.form not in ("separate", "linear"):
            raise ValueError(f"--train gates: gates of form {self.form} have no weights of their own; use --train all")
        if self.fade_steps and self.form not in FADE_STEPS:
            raise ValueError(f"--fade-steps: gates of form {self.form} borrow no neuron that would have to fade")
        if self.data is not None and self.dataset is not None:
            raise ValueError("give the text either as --data or as --dataset")
        if self.data_from_model and self.data is None and self.dataset is None:
            raise ValueError("--data-from-model answers prompts: give them as --data FILE.jsonl or --dataset HUB_ID")
        if self.sample_temperature is not None and not self.data_from_model:
            raise ValueError("--sample-temperature is that of the model's own samples: it needs --data-from-model")
        wrong = [ratio for ratio in self.save_crs if not 1 < ratio <= self.target_cr]
        if wrong:
            raise ValueError(f"--save-crs {wrong[0]:g} is not between 1 and --target-cr {self.target_cr:g}")
        self._check_steps()
        return self

    def _check_steps(self) -> None:
        """ValueError unless each ratio has a step of its own."""
        before, last = 1.0, self.fade_steps
        for ratio in self.family:
            flag = "--target-cr" if ratio == self.target_cr else "--save-crs"
            step = self.schedule.step_of(ratio)
            if step <= last:
                raise ValueError(
                    f"{flag} {ratio:g} falls on the same step as CR {before:g}: --steps-per-cr {self.steps_per_cr} is "
                    "too few to tell them apart"
                )
            before, last = ratio, step

    @property
    def schedule(self) -> Schedule:
        """Steps and what each asks for."""
        return Schedule(self.target_cr, self.steps_per_cr, self.fade_steps)

    @property
    def rows(self) -> int:
        """Rows of all steps."""
        return self.schedule.steps * self.batch_size

    @property
    def family(self) -> tuple[float, ...]:
        """Ratios of which a checkpoint is saved, ascending."""
        return tuple(sorted({*self.save_crs, self.target_cr}))

    def gates(self, ratio: float | None = None) -> GateSpec:
        """The gates, as a checkpoint of this ratio declares them."""
        return GateSpec(
            form=self.form, scale=self.scale, bias=self.bias, borrowed_dim=self.borrowed_dim, window=self.window,
            decision_shift=self.decision_shift, immediate=self.immediate, ratio=ratio,
        )  # fmt: skip

    def identity(self) -> dict[str, Any]:
        """The part that decides what is computed, as JSON values."""
        # Without samples their fields say nothing, and folders of runs that did not know them go on.
        unused = () if self.data_from_model else _SAMPLE_FIELDS
        return self.model_dump(mode="json", exclude={*FREE_FIELDS, *unused})


def make_retrofit(**fields: Any) -> RetrofitConfig:
    """RetrofitConfig of `fields` (None: the default); ValueError with one line that names the flag at fault."""
    try:
        return RetrofitConfig(**fields)
    except ValidationError as error:
        raise ValueError(in_one_line(error)) from None
