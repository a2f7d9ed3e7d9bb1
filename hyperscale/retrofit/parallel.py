"""The processes of a run, which torchrun starts to shard the model, and the state that a killed run resumes from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from hyperscale.retrofit.student import Student
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


class World:
    """The processes of a run, one unless torchrun's variables are set; each takes every size-th row of a step."""

    def __init__(self) -> None:
        self.rank, self.size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))

    def __enter__(self) -> Self:
        if self.size > 1:
            dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        return self

    def __exit__(self, *_: object) -> None:
        if self.size > 1:
            dist.destroy_process_group()

    @property
    def device(self) -> str:
        """Device of this process, with one GPU each."""
        return f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if torch.cuda.is_available() else "cpu"

    def shard(self, *models: Student) -> None:
        """Shard each model over the processes, layer by layer."""
        if self.size == 1:
            return
        mesh = init_device_mesh("cuda" if torch.cuda.is_available() else "cpu", (self.size,))
        for model in dict.fromkeys(models):
            for layer in model.decoder.layers:
                fully_shard(layer, mesh=mesh)
            fully_shard(model, mesh=mesh)

    def sum(self, x: Tensor) -> Tensor:
        """Sum a small tensor over the processes."""
        if self.size > 1:
            on_device = x.to(self.device)
            dist.all_reduce(on_device)
            return on_device.cpu()
        return x

    def agree(self, asked: bool) -> bool:
        """Return whether any process asks, the same in all of them."""
        return bool(self.sum(torch.tensor(float(asked)))) if self.size > 1 else asked

    def whole(self, x: Tensor) -> Tensor:
        """Gather a sharded tensor; every process must call this."""
        return x.full_tensor() if hasattr(x, "full_tensor") else x

    def weights(self, decoder: nn.Module) -> dict[str, Tensor]:
        """Gather the decoder's weights by name."""
        return {name: self.whole(weight.detach()) for name, weight in decoder.named_parameters()}

    def optimizer_state(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        """Gather the optimiser's state by parameter name, on the CPU."""
        return get_optimizer_state_dict(model, optimizer, options=_WHOLE)

    def load(self, model: Student, optimizer: torch.optim.Optimizer, state: State) -> None:
        """Load a state into the model and optimiser, sharded as they are."""
        parameters: dict[str, Any] = dict(model.decoder.named_parameters())
        for name, weight in state.weights.items():
            target = parameters[name]
            with torch.no_grad():
                if self.size > 1:
                    from torch.distributed.tensor import distribute_tensor

                    weight = distribute_tensor(weight.to(self.device), target.device_mesh, target.placements)
                target.copy_(weight)
        set_optimizer_state_dict(model, optimizer, state.optimizer, options=_WHOLE)


_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)
