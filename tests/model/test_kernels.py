"""The quick paths of inference against torch's own operations."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hyperscale.model import layers
from hyperscale.model.layers import linear, pack, rms_norm


class One(nn.Module):
    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(48, 32, generator=torch.Generator().manual_seed(0)).to(dtype))


def plain_norm(x_nd: torch.Tensor, weight_d: torch.Tensor, eps: float) -> torch.Tensor:
    x = x_nd.double()
    return (x / (x.square().mean(-1, keepdim=True) + eps).sqrt()) * weight_d.double()


@pytest.mark.parametrize("rows", [1, 5, 130])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 2**-7)])
def test_rms_norm(dtype: torch.dtype, tolerance: float, rows: int) -> None:
    generator = torch.Generator().manual_seed(1)
    x = (3 * torch.randn(rows, 32, generator=generator)).to(dtype)
    weight = torch.randn(32, generator=generator).to(dtype)
    with torch.inference_mode():
        quick = rms_norm(x, weight, 1e-5)
    assert quick.dtype == dtype
    torch.testing.assert_close(quick.double(), plain_norm(x, weight, 1e-5), rtol=tolerance, atol=tolerance)
    differentiable = rms_norm(x.clone().requires_grad_(), weight, 1e-5)
    assert differentiable.requires_grad
    torch.testing.assert_close(quick, differentiable.detach(), rtol=tolerance, atol=tolerance)


def test_rms_norm_of_what_is_not_finite_is_not_finite() -> None:
    x = torch.ones(2, 8)
    x[1, 3] = float("nan")
    with torch.inference_mode():
        out = rms_norm(x, torch.ones(8), 1e-5)
    assert out[0].isfinite().all()
    assert out[1].isnan().all()


@pytest.mark.parametrize("rows", [1, 7, 32, 100])
def test_a_packed_weight_gives_the_same_product(rows: int) -> None:
    module = One(torch.bfloat16)
    pack(module)
    assert hasattr(module.weight, "packed") == layers.can_pack()
    x = torch.randn(rows, 32, generator=torch.Generator().manual_seed(2)).bfloat16()
    with torch.inference_mode():
        torch.testing.assert_close(linear(x, module.weight), F.linear(x, module.weight), rtol=2**-7, atol=2**-6)


def test_a_packed_copy_is_not_used_once_its_weight_has_changed() -> None:
    module = One(torch.bfloat16)
    pack(module)
    with torch.no_grad():
        module.weight.zero_()
        assert linear(torch.ones(3, 32, dtype=torch.bfloat16), module.weight).eq(0).all()


def test_training_goes_through_torch() -> None:
    module = One(torch.bfloat16)
    pack(module)
    linear(torch.ones(3, 32, dtype=torch.bfloat16), module.weight).sum().backward()
    assert module.weight.grad is not None


def test_fp32_is_left_alone() -> None:
    module = One(torch.float32)
    pack(module)
    assert not hasattr(module.weight, "packed")


def test_nothing_is_packed_where_the_cpu_has_no_bf16_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "can_pack", lambda: False)
    module = One(torch.bfloat16)
    pack(module)
    assert not hasattr(module.weight, "packed")
    with torch.inference_mode():
        assert linear(torch.ones(2, 32, dtype=torch.bfloat16), module.weight).shape == (2, 48)


def test_a_weight_that_is_only_looked_up_is_left_alone() -> None:
    module = One(torch.bfloat16)
    pack(module, leave=[module.weight])
    assert not hasattr(module.weight, "packed")
