"""Block tables to attend, with NaN wherever nothing may be read, and the slow reference on them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hyperscale.kvcache.block_pool import BLOCK_SIZE, blocks_for
from hyperscale.kvcache.block_table import BlockTable
from tests.reference import attention as reference

# Inputs are rounded to 16 bits for both sides; what remains is that the output is, and on a GPU the softmax weights.
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2**-7, torch.float16: 2**-9}
MASS_TOLERANCE = 1e-5
"""Of the attention on a place, however keys are stored: it is never rounded to fewer bits than fp32 has."""
Lengths = list[list[int]]
"""Tokens of each KV head of each sequence."""


def ragged_table(
    lengths_nk: Lengths, head_dim: int, dtype: torch.dtype, seed: int = 0, spread: float = 1.0, device: str = "cpu"
) -> tuple[BlockTable, NDArray[np.int64]]:
    """Make a table of one layer whose rows hold so many tokens each; returns it with its sequences."""
    generator = torch.Generator().manual_seed(seed)
    table = BlockTable(
        layers=1, kv_heads=len(lengths_nk[0]), head_dim=head_dim, seqs=len(lengths_nk),
        max_length=max(map(max, lengths_nk)) + 1, blocks=1 + sum(blocks_for(t) for row in lengths_nk for t in row),
        dtype=dtype, device=torch.device(device),
    )  # fmt: skip
    table.k_btd.fill_(torch.nan)
    table.v_btd.fill_(torch.nan)
    seqs = np.array([table.open() for _ in lengths_nk])
    for seq, lengths_k in zip(seqs, lengths_nk, strict=True):
        for head, length in enumerate(lengths_k):
            k, v = (spread * torch.randn(length, head_dim, generator=generator) for _ in range(2))
            table.fill(0, seq, head, k.to(device, dtype), v.to(device, dtype))
            last = table.block_table[0, seq, head, blocks_for(length) - 1]
            for pool in table.k_btd, table.v_btd:
                pool[last, (length - 1) % BLOCK_SIZE + 1 :] = torch.nan
    return table, seqs


def queries(count: int, heads: int, head_dim: int, dtype: torch.dtype, seed: int = 1, spread: float = 1.0) -> Tensor:
    """q_nhd."""
    generator = torch.Generator().manual_seed(seed)
    return (spread * torch.randn(count, heads, head_dim, generator=generator)).to(dtype)


def expected(
    table: BlockTable, seqs: NDArray[np.int64], q_nhd: Tensor
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Attend whole rows by the reference: out_nhd, mass_nkt."""
    out_nhd = np.zeros(q_nhd.shape)
    mass_nkt = np.zeros((len(seqs), table.kv_heads, int(table.lengths[0, seqs].max())))
    group = q_nhd.shape[1] // table.kv_heads
    for i, seq in enumerate(seqs):
        for k in range(table.kv_heads):
            k_td, v_td = (x.tolist() for x in table.gather(0, seq, k))
            for head in range(k * group, (k + 1) * group):
                weights = reference.weights(q_nhd[i, head].tolist(), k_td)
                mass_nkt[i, k, : len(weights)] += weights
                out_nhd[i, head] = reference.mix(weights, v_td)
    return out_nhd, mass_nkt


def some_blocks(
    table: BlockTable, seqs: NDArray[np.int64], heads: int, seed: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Pick for each query head some blocks of its row, in any order, the newest last: blocks_nhb, lengths_nh."""
    rng = np.random.default_rng(seed)
    blocks_nhb = np.full((len(seqs), heads, table.block_table.shape[-1]), -1, np.int32)
    lengths_nh = np.zeros((len(seqs), heads), np.int32)
    for i, seq in enumerate(seqs):
        for h in range(heads):
            k = h // (heads // table.kv_heads)
            length = int(table.lengths[0, seq, k])
            newest = blocks_for(length) - 1
            older = rng.permutation(newest)[: rng.integers(0, newest + 1)]
            blocks_nhb[i, h, : len(older) + 1] = table.block_table[0, seq, k, [*older, newest]]
            lengths_nh[i, h] = len(older) * BLOCK_SIZE + length - newest * BLOCK_SIZE
    return np.ascontiguousarray(blocks_nhb[:, :, : blocks_for(int(lengths_nh.max()))]), lengths_nh


def expected_of_blocks(
    table: BlockTable, q_nhd: Tensor, blocks_nhb: NDArray[np.int32], lengths_nh: NDArray[np.int32]
) -> NDArray[np.float64]:
    """Attend blocks of each head's own by the reference: out_nhd."""
    out_nhd = np.zeros(q_nhd.shape)
    for i, h in np.ndindex(*lengths_nh.shape):
        places = [divmod(t, BLOCK_SIZE) for t in range(lengths_nh[i, h])]
        keys, values = (
            [pool[blocks_nhb[i, h, block], t].tolist() for block, t in places] for pool in (table.k_btd, table.v_btd)
        )
        out_nhd[i, h] = reference.attend(q_nhd[i, h].tolist(), keys, values)
    return out_nhd


def assert_close(got_nhd: Tensor, expected_nhd: NDArray[np.float64]) -> None:
    """Outputs agree to the bound of their type."""
    tolerance = TOLERANCE[got_nhd.dtype]
    np.testing.assert_allclose(got_nhd.double().cpu().numpy(), expected_nhd, rtol=tolerance, atol=tolerance)


def assert_mass(got_nkt: NDArray[np.float32], expected_nkt: NDArray[np.float64], group: int) -> None:
    """Attention on each seq agrees, and adds up to one for each head of a group."""
    assert got_nkt.dtype == np.float32
    assert got_nkt.shape == expected_nkt.shape
    np.testing.assert_allclose(got_nkt, expected_nkt, rtol=MASS_TOLERANCE, atol=MASS_TOLERANCE)
    assert (got_nkt[expected_nkt == 0] == 0).all()
    np.testing.assert_allclose(got_nkt.sum(-1), group, rtol=MASS_TOLERANCE)
