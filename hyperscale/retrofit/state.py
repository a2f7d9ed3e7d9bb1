"""What a killed run goes on from: one file, written aside and renamed, so that it is always whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hyperscale.storage.files import replacing

STATE = "state.pt"


class State(NamedTuple):
    """Noise and data are functions of the step, so these three are all there is."""

    step: int
    """Steps taken."""
    weights: dict[str, Tensor]
    """Those that learn, float32, by parameter name."""
    optimizer: dict[str, Any]


def save_state(folder: Path, state: State) -> None:
    """Replace the folder's state."""
    with replacing(folder / STATE) as aside:
        torch.save(state._asdict(), aside)


def load_state(folder: Path) -> State | None:
    """The folder's state, on the CPU; None where no step was saved yet."""
    path = folder / STATE
    if not path.exists():
        return None
    try:
        return State(**torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # a damaged file shows itself in many ways
        raise ValueError(f"{path}: not a readable state ({' '.join(str(error).split())[:200]})") from None
