"""Trainer: a step's forward and backward passes, its loss and gradient, and the optimiser."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from hyperscale.model.decoder import Decoder
from hyperscale.retrofit.batches import Batch, Batches, Layout
from hyperscale.retrofit.config import RetrofitConfig
from hyperscale.retrofit.log import Row
from hyperscale.retrofit.parallel import State, World
from hyperscale.retrofit.relaxed import FullAttention, Noise, RelaxedAttention
from hyperscale.retrofit.student import Student, choose_trained, clear_borrowed, fade, with_gates


def distillation(student_nv: Tensor, teacher_nv: Tensor) -> Tensor:
    """Sum KL(student || teacher) over tokens, in nats, at temperature 1.

    The direction is that of NVIDIA's code (whose docstring states the other); the paper does not say.
    """
    return F.kl_div(teacher_nv.log_softmax(-1), student_nv.log_softmax(-1), reduction="sum", log_target=True)


def shortfall(alphas_bkt: Sequence[Tensor], present_bt: Tensor, target: float) -> tuple[Tensor, Tensor]:
    """Return the sum over rows of relu(target - mean alpha), and mean_bl, the mean alpha per row and layer.

    A row's mean is over layers, KV heads and tokens without padding. One-sided: more compression costs nothing, and no
    layer or head has its own target. `alphas_bkt`: one tensor per layer.
    """
    mean_btl = torch.stack([alpha_bkt.mean(1) for alpha_bkt in alphas_bkt], dim=-1)
    mean_bl = (mean_btl * present_bt[..., None]).sum(1) / present_bt.sum(1, keepdim=True).clamp_min(1)
    return F.relu(target - mean_bl.mean(1)).sum(), mean_bl


class Trainer:
    """Student, teacher and optimiser. Steps count from 1; `step` is the last one taken."""

    def __init__(self, original: Decoder, config: RetrofitConfig, batches: Batches, world: World) -> None:
        self.config, self.batches, self.world = config, batches, world
        self.step = 0
        self.schedule = config.schedule
        self.gates = config.gates()
        self.decoder = with_gates(original, self.gates)
        choose_trained(self.decoder, config.train)
        self.decoder.recompute = config.recompute
        if not config.fade_steps:
            clear_borrowed(self.decoder)
        self.student = Student(self.decoder)
        # If only gates train, the student without its gates is the original: no second copy.
        self.teacher = self.student if config.train == "gates" else Student(original.requires_grad_(False))
        world.shard(self.student, self.teacher)
        self._trained = [parameter for parameter in self.decoder.parameters() if parameter.requires_grad]
        self._optimizer = torch.optim.AdamW(self._trained, lr=config.lr, betas=(0.9, 0.95), weight_decay=0.0)

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        return self.decoder.embed.device

    def take_step(self) -> Row:
        """Take the next step; return its row of the log. Raise ValueError if the loss or gradient is not finite."""
        started = time.monotonic()
        step = self.step + 1
        batch = self.batches.batch(step)
        fade(self.decoder, self.schedule.kept(step))
        sums = self._backward(step, batch)
        norm = torch.nn.utils.clip_grad_norm_(self._trained, self.config.clip)
        row = self._row(step, batch, sums, float(self.world.whole(norm)))
        for name, numbers in (("loss", sums.tolist()), ("gradient", [row["grad_norm"]])):
            if not all(map(math.isfinite, numbers)):
                raise ValueError(f"the {name} is not finite at step {step}: lower --lr, or go without --autocast")
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        if step == self.config.fade_steps:
            clear_borrowed(self.decoder)
        self.step = step
        row["seconds"] = time.monotonic() - started
        return row

    def state(self) -> State:
        """Return the state that a later session resumes from; every process must call this."""
        weights = self.world.weights(self.decoder)
        learned = {name for name, parameter in self.decoder.named_parameters() if parameter.requires_grad}
        optimizer = self.world.optimizer_state(self.student, self._optimizer)
        return State(self.step, {name: weights[name] for name in sorted(learned)}, optimizer)

    def restore(self, state: State) -> None:
        """Resume from a state."""
        self.world.load(self.student, self._optimizer, state)
        self.step = state.step

    def weights(self) -> dict[str, Tensor]:
        """Gather the student's weights by name; every process must call this."""
        return self.world.weights(self.decoder)

    def _backward(self, step: int, batch: Batch) -> Tensor:
        """Accumulate the gradient; return means over the step: KL, aux, and alpha over all layers and of each."""
        rows, world = len(batch.tokens_bt), self.world
        if rows % world.size:
            raise ValueError(
                f"{rows} rows per step cannot be shared evenly by {world.size} processes; change --batch-size"
            )
        counted = max(1, int(batch.counted_bt.sum()))
        mine = batch.rows(world.rank, None, world.size)
        numbers = range(world.rank, rows, world.size)
        size = self.config.micro_batch or rows
        sums = torch.zeros(3 + len(self.decoder.layers), dtype=torch.float64)
        for start in range(0, len(numbers), size):
            part = mine.rows(start, start + size).to(self.device)
            kl, aux, alphas_bl = self._losses(step, part, numbers[start : start + size])
            # Means over the whole batch for any micro-batch; sharding averages gradients over processes.
            ((kl / counted + aux / rows) * world.size).backward()
            parts = kl.detach() / counted, aux.detach() / rows, alphas_bl.mean(1).sum() / rows
            sums[:3] += torch.stack([x.double().cpu() for x in parts])
            sums[3:] += alphas_bl.sum(0).double().cpu() / rows
        return world.sum(sums)

    def _losses(self, step: int, part: Batch, numbers: range) -> tuple[Tensor, Tensor, Tensor]:
        """Return sums of KL and aux over some rows, and the mean alpha of each row and layer."""
        layout, config = Layout.of(part), self.config
        flat = part.tokens_bt.flatten(), layout.positions_n, part.counted_bt.flatten()
        present_bt = part.document_bt >= 0
        with torch.autocast(self.device.type, torch.bfloat16, enabled=config.autocast):
            full = FullAttention(layout)
            # No graph is kept, since none of its weights are trained. Under no_grad it would use the norms of
            # inference, which round differently and whose memory fully_shard cannot free.
            teacher_nv = self.teacher(*flat, full, False)
            if step <= config.fade_steps:
                student_nv = self.student(*flat, full, False)
                nothing = student_nv.new_zeros(())
                return (
                    distillation(student_nv, teacher_nv),
                    nothing,
                    nothing.expand(len(numbers), len(self.decoder.layers)),
                )
            noise = Noise(config.seed, step, numbers)
            attend = RelaxedAttention(self.gates, layout, noise, config.tau)
            student_nv = self.student(*flat, attend, True)
        alphas = [attend.alphas_bkt[layer] for layer in range(len(self.decoder.layers))]
        aux, mean_bl = shortfall(alphas, present_bt, self.schedule.share(step))
        return distillation(student_nv, teacher_nv), aux, mean_bl.detach()

    def _row(self, step: int, batch: Batch, sums: Tensor, norm: float) -> Row:
        kl, aux, alpha, *layers = sums.tolist()
        row: dict[str, Any] = {
            "step": step,
            "compression_ratio": self.schedule.ratio(step),
            "loss": kl + aux,
            "kl": kl,
            "aux": aux,
            "alpha": alpha,
            "alpha_target": self.schedule.share(step),
            "layer_ratios": [1 / max(1 - share, 1e-9) for share in layers],
            "grad_norm": norm,
            "lr": self.config.lr,
            "tokens": batch.tokens,
        }
        return row
