"""The loss of a retrofit: distillation from the original model, and a penalty for compressing too little."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


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
