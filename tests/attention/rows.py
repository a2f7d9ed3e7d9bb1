"""Rows to attend, with NaN wherever nothing may be read, and what the slow reference makes of them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hyperscale.kvcache.block_table import PAGE_SIZE, Rows, pages_for
from tests.reference import attention as reference

# Inputs are rounded to 16 bits for both sides; what remains is that the output is, and on a GPU the softmax weights.
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2**-7, torch.float16: 2**-9}
MASS_TOLERANCE = 1e-5
"""Of the attention on a slot, however keys are stored: it is never rounded to fewer bits than fp32 has."""
Lengths = list[list[int]]
"""Tokens of each KV head of each sequence."""


def ragged_rows(
    lengths_nk: Lengths, head_dim: int, dtype: torch.dtype, seed: int = 0, spread: float = 1.0, device: str = "cpu"
) -> tuple[Rows, NDArray[np.int64]]:
    """Rows of one layer that hold so many tokens each; returns them with the slots of their sequences."""
    generator = torch.Generator().manual_seed(seed)
    rows = Rows(
        layers=1, kv_heads=len(lengths_nk[0]), head_dim=head_dim, slots=len(lengths_nk),
        max_length=max(map(max, lengths_nk)) + 1, pages=1 + sum(pages_for(t) for row in lengths_nk for t in row),
        dtype=dtype, device=torch.device(device),
    )  # fmt: skip
    rows.k_ptd.fill_(torch.nan)
    rows.v_ptd.fill_(torch.nan)
    slots = np.array([rows.open() for _ in lengths_nk])
    for slot, lengths_k in zip(slots, lengths_nk, strict=True):
        for head, length in enumerate(lengths_k):
            k, v = (spread * torch.randn(length, head_dim, generator=generator) for _ in range(2))
            rows.fill(0, slot, head, k.to(device, dtype), v.to(device, dtype))
            last = rows.table[0, slot, head, pages_for(length) - 1]
            for pool in rows.k_ptd, rows.v_ptd:
                pool[last, (length - 1) % PAGE_SIZE + 1 :] = torch.nan
    return rows, slots


def queries(count: int, heads: int, head_dim: int, dtype: torch.dtype, seed: int = 1, spread: float = 1.0) -> Tensor:
    """q_nhd."""
    generator = torch.Generator().manual_seed(seed)
    return (spread * torch.randn(count, heads, head_dim, generator=generator)).to(dtype)


def expected(rows: Rows, slots: NDArray[np.int64], q_nhd: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What the reference makes of whole rows: out_nhd, mass_nkt."""
    out_nhd = np.zeros(q_nhd.shape)
    mass_nkt = np.zeros((len(slots), rows.kv_heads, int(rows.lengths[0, slots].max())))
    group = q_nhd.shape[1] // rows.kv_heads
    for i, slot in enumerate(slots):
        for k in range(rows.kv_heads):
            k_td, v_td = (x.tolist() for x in rows.gather(0, slot, k))
            for head in range(k * group, (k + 1) * group):
                weights = reference.weights(q_nhd[i, head].tolist(), k_td)
                mass_nkt[i, k, : len(weights)] += weights
                out_nhd[i, head] = reference.mix(weights, v_td)
    return out_nhd, mass_nkt


def some_pages(
    rows: Rows, slots: NDArray[np.int64], heads: int, seed: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """For each query head some of its row's pages, in any order, the newest one last: pages_nhp, lengths_nh."""
    rng = np.random.default_rng(seed)
    pages_nhp = np.full((len(slots), heads, rows.table.shape[-1]), -1, np.int32)
    lengths_nh = np.zeros((len(slots), heads), np.int32)
    for i, slot in enumerate(slots):
        for h in range(heads):
            k = h // (heads // rows.kv_heads)
            length = int(rows.lengths[0, slot, k])
            newest = pages_for(length) - 1
            older = rng.permutation(newest)[: rng.integers(0, newest + 1)]
            pages_nhp[i, h, : len(older) + 1] = rows.table[0, slot, k, [*older, newest]]
            lengths_nh[i, h] = len(older) * PAGE_SIZE + length - newest * PAGE_SIZE
    return np.ascontiguousarray(pages_nhp[:, :, : pages_for(int(lengths_nh.max()))]), lengths_nh


def expected_of_pages(
    rows: Rows, q_nhd: Tensor, pages_nhp: NDArray[np.int32], lengths_nh: NDArray[np.int32]
) -> NDArray[np.float64]:
    """What the reference makes of pages of each head's own: out_nhd."""
    out_nhd = np.zeros(q_nhd.shape)
    for i, h in np.ndindex(*lengths_nh.shape):
        places = [divmod(t, PAGE_SIZE) for t in range(lengths_nh[i, h])]
        keys, values = (
            [pool[pages_nhp[i, h, page], t].tolist() for page, t in places] for pool in (rows.k_ptd, rows.v_ptd)
        )
        out_nhd[i, h] = reference.attend(q_nhd[i, h].tolist(), keys, values)
    return out_nhd


def assert_close(got_nhd: Tensor, expected_nhd: NDArray[np.float64]) -> None:
    """Outputs agree to the bound of their type."""
    tolerance = TOLERANCE[got_nhd.dtype]
    np.testing.assert_allclose(got_nhd.double().cpu().numpy(), expected_nhd, rtol=tolerance, atol=tolerance)


def assert_mass(got_nkt: NDArray[np.float32], expected_nkt: NDArray[np.float64], group: int) -> None:
    """Attention on each slot agrees, and adds up to one for each head of a group."""
    assert got_nkt.dtype == np.float32
    assert got_nkt.shape == expected_nkt.shape
    np.testing.assert_allclose(got_nkt, expected_nkt, rtol=MASS_TOLERANCE, atol=MASS_TOLERANCE)
    assert (got_nkt[expected_nkt == 0] == 0).all()
    np.testing.assert_allclose(got_nkt.sum(-1), group, rtol=MASS_TOLERANCE)
