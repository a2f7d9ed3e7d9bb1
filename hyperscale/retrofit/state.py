"""State that a killed run resumes from: one file, written aside and renamed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hyperscale.storage.files import replacing

STATE = "state.pt"


class State(NamedTuple):
    """Whole state of training; noise and data are functions of the step."""

    step: int
    """Steps taken."""
    weights: dict[str, Tensor]
    """Trained weights, float32, by parameter name."""
    optimizer: dict[str, Any]


def save_state(folder: Path, state: State) -> None:
    """Replace the folder's state."""
    with replacing(folder / STATE) as aside:
        torch.save(state._asdict(), aside)


def load_state(folder: Path) -> State | None:
    """Load the folder's state to the CPU; None if there is none, ValueError if it is damaged."""
    path = folder / STATE
    if not path.exists():
        return None
    try:
        return State(**torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # a damaged file raises many types
        raise ValueError(f"{path}: not a readable state: {' '.join(str(error).split())[:200]}") from None
