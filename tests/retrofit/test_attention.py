"""Penalised attention against the whole mask written out, and its gradient."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from hyperscale.retrofit import attention
from hyperscale.retrofit.attention import document_attention, penalised_attention
from hyperscale.retrofit.batches import Batch, Layout

DOCUMENTS = torch.tensor([[0] * 9 + [1] * 4, [5] * 6 + [-1] * 7])


def inputs(seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    q, k, v = (torch.randn(2, 13, heads, 4, dtype=torch.float64, generator=generator) for heads in (4, 2, 2))
    penalty = -torch.rand(2, 2, 13, dtype=torch.float64, generator=generator) * 3
    return q, k, v, penalty


def layout(document_bt: Tensor = DOCUMENTS) -> Layout:
    return Layout.of(Batch(document_bt, document_bt, document_bt >= 0))


def written_out(q: Tensor, k: Tensor, v: Tensor, penalty: Tensor, window: int, document: Tensor) -> Tensor:
    out = torch.zeros_like(q)
    for b in range(2):
        for h in range(4):
            for t in range(13):
                seen = [s for s in range(t + 1) if document[b, s] == document[b, t]]
                scores = [
                    q[b, t, h] @ k[b, s, h // 2] / math.sqrt(4) + (penalty[b, h // 2, s] if t - s > window else 0)
                    for s in seen
                ]
                out[b, t, h] = torch.stack(scores).softmax(0) @ v[b, seen, h // 2]
    return out


@pytest.mark.parametrize("window", [0, 3, 20])
def test_it_is_the_mask_written_out(monkeypatch: pytest.MonkeyPatch, window: int) -> None:
    monkeypatch.setattr(attention, "CHUNK", 5)
    q, k, v, penalty = inputs()
    expected = written_out(q, k, v, penalty, window, DOCUMENTS)
    torch.testing.assert_close(penalised_attention(q, k, v, penalty, window, layout()), expected)
    if window == 20:
        torch.testing.assert_close(document_attention(q, k, v, layout()), expected)


def test_its_gradient_is_that_of_finite_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "CHUNK", 5)
    leaves = [x.requires_grad_(True) for x in inputs()]

    def attend(q: Tensor, k: Tensor, v: Tensor, penalty: Tensor) -> Tensor:
        return penalised_attention(q, k, v, penalty, 2, layout())

    assert torch.autograd.gradcheck(attend, leaves, fast_mode=True)


@pytest.mark.parametrize("common", [0.0, 300.0])
def test_under_autocast_only_its_inputs_and_outputs_are_rounded(common: float) -> None:
    """Scores that have much in common, as with a bias on keys: what sets them apart is not lost to bf16.

    Of q the gradient is a sum over keys that nearly cancels there, for the teacher's kernel as well.
    """
    generator = torch.Generator().manual_seed(0)
    q, k, v, up = (torch.randn(2, 13, heads, 64, generator=generator) for heads in (4, 2, 2, 4))
    q[..., 5] = k[..., 5] = (8 * common) ** 0.5
    penalty = -torch.rand(2, 2, 13, generator=generator)

    def pass_in(dtype: torch.dtype) -> list[Tensor]:
        leaves = [x.bfloat16().to(dtype).requires_grad_(True) for x in (q, k, v)]
        wide = penalty.to(torch.promote_types(dtype, torch.float32))
        out = penalised_attention(leaves[0], leaves[1], leaves[2], wide, 3, layout())
        return [out, *torch.autograd.grad(out, leaves, up.to(dtype))]

    pairs = zip(pass_in(torch.bfloat16), pass_in(torch.float64), strict=True)
    errors = [((found.double() - exact).norm() / exact.norm()).item() for found, exact in pairs]
    assert all(error < bound for error, bound in zip(errors, (0.006, 0.05, 0.006, 0.006), strict=True)), errors


def test_what_is_given_up_for_good_passes_no_gradient_on() -> None:
    q, k, v, penalty = (x.requires_grad_(True) for x in inputs())
    gone = torch.zeros_like(penalty).masked_fill(torch.arange(13) == 3, -torch.inf)
    out = penalised_attention(q, k, v, penalty + gone, 2, layout())
    [of_v] = torch.autograd.grad(out[:, 6:].sum(), v, retain_graph=True)
    assert not of_v[:, 3].any()
    assert of_v[0, 4].all()
    assert torch.autograd.grad(out.sum(), penalty)[0].isfinite().all()


def test_rows_of_one_document_need_no_mask() -> None:
    q, k, v, penalty = inputs()
    one = torch.zeros(2, 13, dtype=torch.long)
    one[1, 8:] = -1
    assert layout(one).plain
    assert not layout().plain
    expected = written_out(q, k, v, penalty, 20, one)
    real = one >= 0
    torch.testing.assert_close(document_attention(q, k, v, layout(one))[real], expected[real])
