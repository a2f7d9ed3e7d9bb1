"""DMC's merge by degrees against its recurrence."""

from __future__ import annotations

import torch

from hyperscale.retrofit.accumulate import accumulate


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
