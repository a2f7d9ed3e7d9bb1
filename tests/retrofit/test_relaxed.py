"""The relaxed decision (its distribution, its gradient, what its noise depends on), and DMC's merge by degrees."""

from __future__ import annotations

import numpy as np
import torch

from hyperscale.retrofit.relaxed import Noise, accumulate, hard, soft


def test_a_share_of_decisions_follows_the_logit() -> None:
    """P(alpha > 1/2) is the logit's sigmoid: logistic noise, not a single Gumbel variable."""
    noise_bkt = Noise(0, 1, range(4)).draw(0, 20_000, 2)
    for logit in (-5.0, -1.0, 0.0, 2.0):
        decision = soft(torch.full((4, 2, 20_000), logit), noise_bkt, 0.1)
        expected = 1 / (1 + np.exp(-logit))
        assert abs(decision.alpha_bkt.mean().item() - expected) < 4 * (expected * (1 - expected) / 160_000) ** 0.5


def test_what_stands_in_the_mask_is_soft_and_what_counts_is_hard() -> None:
    logits_bkt = torch.randn(1, 2, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    logits_bkt.requires_grad_(True)
    noise_bkt = Noise(0, 1, range(1)).draw(0, 50, 2)
    decision = soft(logits_bkt, noise_bkt, 0.5)
    alpha_bkt = torch.sigmoid((logits_bkt + noise_bkt.double()) / 0.5)
    torch.testing.assert_close(decision.log_kept_bkt, torch.log1p(-alpha_bkt))
    torch.testing.assert_close(decision.log_alpha_bkt, alpha_bkt.log())
    torch.testing.assert_close(decision.alpha_bkt, alpha_bkt.round())
    weights = torch.randn(1, 2, 50, dtype=torch.float64)
    [straight_through] = torch.autograd.grad((decision.alpha_bkt * weights).sum(), logits_bkt, retain_graph=True)
    [through_soft] = torch.autograd.grad((alpha_bkt * weights).sum(), logits_bkt)
    torch.testing.assert_close(straight_through, through_soft)


def test_a_mask_stays_finite_where_the_decision_is_certain() -> None:
    decision = soft(torch.tensor([[[-5000.0, 5000.0]]]), torch.zeros(1, 1, 2), 0.1)
    torch.testing.assert_close(decision.log_kept_bkt, torch.tensor([[[0.0, -50_000.0]]]))


def test_noise_is_a_function_of_who_it_is_for() -> None:
    whole = Noise(7, 3, range(6)).draw(2, 10, 2)
    assert torch.equal(Noise(7, 3, range(2, 6, 2)).draw(2, 10, 2), whole[2::2])
    assert torch.equal(Noise(7, 3, range(6)).draw(2, 16, 2)[..., :10], whole), "padding changed a row's noise"
    others = [Noise(8, 3, range(6)).draw(2, 10, 2), Noise(7, 4, range(6)).draw(2, 10, 2)]
    others += [Noise(7, 3, range(6)).draw(1, 10, 2), whole.roll(1, 0)]
    for other in others:
        assert not (other == whole).any()


def test_hard_decisions_are_those_of_the_backends() -> None:
    decision = hard(torch.tensor([[[-1.0, 0.0, 1.0]]]))
    assert decision.alpha_bkt.tolist() == [[[0, 0, 1]]]
    assert decision.log_kept_bkt.tolist() == [[[0, 0, -np.inf]]]
    assert decision.log_alpha_bkt.tolist() == [[[-np.inf, -np.inf, 0]]]


def recurrence(log_merged_bkt: torch.Tensor, weight_bkt: torch.Tensor, x_bktd: torch.Tensor) -> torch.Tensor:
    means, z, mean = [], torch.zeros_like(weight_bkt[..., 0]), torch.zeros_like(x_bktd[:, :, 0])
    for t in range(x_bktd.shape[2]):
        alpha, weight = log_merged_bkt[..., t].exp(), weight_bkt[..., t]
        before, z = alpha * z, alpha * z + weight
        mean = (before[..., None] * mean + weight[..., None] * x_bktd[:, :, t]) / z[..., None]
        means.append(mean)
    return torch.stack(means, dim=2)


def test_it_is_the_recurrence() -> None:
    generator = torch.Generator().manual_seed(0)
    weight_bkt, x_bktd = (
        torch.rand(2, 3, 300, generator=generator) + 0.01,
        torch.randn(2, 3, 300, 4, generator=generator),
    )
    logits_bkt = 30 * torch.randn(2, 3, 300, generator=generator)
    log_merged_bkt = torch.nn.functional.logsigmoid(logits_bkt)
    log_merged_bkt[..., 0] = -torch.inf
    log_merged_bkt[..., 150] = -torch.inf
    expected = recurrence(log_merged_bkt.double(), weight_bkt.double(), x_bktd.double())
    torch.testing.assert_close(accumulate(log_merged_bkt, weight_bkt, x_bktd), expected.float(), atol=2e-6, rtol=2e-6)


def test_a_slot_of_a_thousand_tokens_is_their_mean() -> None:
    x_bktd = torch.randn(1, 1, 1000, 4, generator=torch.Generator().manual_seed(0)) + 10
    log_merged_bkt = torch.zeros(1, 1, 1000)
    log_merged_bkt[..., 0] = -torch.inf
    means = accumulate(log_merged_bkt, torch.ones(1, 1, 1000), x_bktd)
    torch.testing.assert_close(means[0, 0, -1], x_bktd[0, 0].mean(0))
