"""The config of everything typed for a retrofit."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from hyperscale.cli.options import folder_name
from hyperscale.config.flag import read_flags
from hyperscale.retrofit.config import RetrofitConfig, default_form, make_retrofit
from hyperscale.text import parse_list

SAVE_CRS = "2,3,4,6,8"
"""--save-crs if none is given."""


def retrofit_config(**typed: Any) -> RetrofitConfig:
    """Make the config of typed values by the flags' keys; ValueError names the flag at fault."""
    typed = {"save_crs": SAVE_CRS, **typed}
    method = typed.get("method", RetrofitConfig.model_fields["method"].default)
    form = typed.get("form", default_form(method))
    # Refused, as the flag would have no effect.
    for key in ("window", "decision_shift"):
        if method == "dmc" and key in typed:
            flag = f"--{key.replace('_', '-')}"
            raise ValueError(f"{flag} is of DMS: DMC merges a token at once, as the token itself decides")
    if "borrowed_dim" in typed and form != "borrowed":
        raise ValueError(f"--borrowed-dim is of --form borrowed: gates of form {form} leave no choice of it")
    fields = read_flags(RetrofitConfig, typed)
    target = fields.get("target_cr", RetrofitConfig.model_fields["target_cr"].default)
    fields["save_crs"] = tuple(ratio for ratio in _ratios(fields["save_crs"]) if ratio <= target)
    fields.setdefault("output_dir", Path("retrofits") / folder_name(fields["model"], (method,)))
    return make_retrofit(**fields)


def _ratios(text: str) -> tuple[float, ...]:
    try:
        ratios = tuple(map(float, parse_list(text)))
    except ValueError:
        ratios = ()
    if not ratios or not all(map(math.isfinite, ratios)):
        raise ValueError(
            f"--save-crs {text!r}: a comma list of numbers is expected, such as 2,4,8 (--target-cr is saved anyway)"
        )
    return ratios
