"""Decode kernels against attention written out key by key."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperscale.attention.base import DecodeAttention, decode_attention
from hyperscale.attention.cpu import CpuAttention
from hyperscale.attention.prompt import causal_attention
from hyperscale.attention.reference import GatheredAttention
from hyperscale.kvcache.block_table import BlockTable
from tests.attention.tables import (
    assert_close,
    assert_mass,
    expected,
    expected_of_blocks,
    queries,
    ragged_table,
    some_blocks,
)
from tests.reference import attention as reference

Kernel = Callable[[BlockTable, int], DecodeAttention]
KERNELS: list[Kernel] = [CpuAttention, GatheredAttention]
GROUPS, HEAD_DIMS = st.sampled_from([1, 2, 3, 5, 7]), st.sampled_from([8, 24, 64])


@st.composite
def lengths(draw: st.DrawFn) -> list[list[int]]:
    """Tokens of each KV head of a few sequences; heads of a sequence may differ."""
    kv_heads = draw(st.integers(1, 3))
    row = st.lists(st.integers(1, 70), min_size=kv_heads, max_size=kv_heads)
    return draw(st.lists(row, min_size=1, max_size=4))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@settings(max_examples=15, deadline=None)
@given(lengths_nk=lengths(), group=GROUPS, head_dim=HEAD_DIMS, seed=st.integers(0, 99))
def test_a_kernel_computes_attention_and_its_mass(kernel, dtype, lengths_nk, group, head_dim, seed):
    table, seqs = ragged_table(lengths_nk, head_dim, dtype, seed)
    order = np.random.default_rng(seed).permutation(len(seqs))
    q_nhd = queries(len(seqs), table.kv_heads * group, head_dim, dtype, seed + 1)
    attention = kernel(table, table.kv_heads * group)
    out_nhd, mass_nkt = attention.weighed(0, seqs[order], q_nhd)
    expected_nhd, expected_nkt = expected(table, seqs[order], q_nhd)
    assert out_nhd.dtype == dtype
    assert_close(out_nhd, expected_nhd)
    assert_mass(mass_nkt, expected_nkt, group)
    assert torch.equal(attention(0, seqs[order], q_nhd), out_nhd)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@settings(max_examples=15, deadline=None)
@given(lengths_nk=lengths(), group=GROUPS, head_dim=HEAD_DIMS, seed=st.integers(0, 99))
def test_each_head_may_attend_blocks_of_its_own(kernel, dtype, lengths_nk, group, head_dim, seed):
    table, seqs = ragged_table(lengths_nk, head_dim, dtype, seed)
    heads = table.kv_heads * group
    blocks_nhb, lengths_nh = some_blocks(table, seqs, heads, seed)
    # Past a head's last block there may be any block of the pool.
    blocks_nhb[blocks_nhb < 0] = 0
    q_nhd = queries(len(seqs), heads, head_dim, dtype, seed + 1)
    out_nhd = kernel(table, heads).selected(q_nhd, blocks_nhb, lengths_nh)
    assert out_nhd.dtype == dtype
    assert_close(out_nhd, expected_of_blocks(table, q_nhd, blocks_nhb, lengths_nh))


@pytest.mark.parametrize("kernel", KERNELS)
def test_scores_far_apart_neither_overflow_nor_vanish(kernel):
    table, seqs = ragged_table([[40]], 64, torch.float32, spread=30.0)
    q_nhd = queries(1, 2, 64, torch.float32, spread=30.0)
    out_nhd = kernel(table, 2)(0, seqs, q_nhd)
    np.testing.assert_allclose(out_nhd.numpy(), expected(table, seqs, q_nhd)[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kernel", KERNELS)
def test_what_an_earlier_sequence_left_in_a_block_is_never_seen(kernel):
    table, seqs = ragged_table([[16]], 8, torch.float32)
    table.k_btd.fill_(float("nan"))
    table.v_btd.fill_(float("nan"))
    table.close(seqs[0])
    seq = table.open()
    k, v = (torch.randn(3, 1, 8, generator=torch.Generator().manual_seed(i)) for i in range(2))
    for t in range(3):
        table.append(0, np.array([seq]), k[t : t + 1], v[t : t + 1])
    q = torch.randn(1, 1, 8, generator=torch.Generator().manual_seed(2))
    expected = reference.attend(q[0, 0].tolist(), k[:, 0].tolist(), v[:, 0].tolist())
    np.testing.assert_allclose(kernel(table, 1)(0, np.array([seq]), q)[0, 0].numpy(), expected, rtol=1e-5, atol=1e-5)


def test_a_sequences_output_does_not_depend_on_its_batch():
    table, seqs = ragged_table([[5, 9], [40, 40], [17, 1], [33, 16]], 16, torch.float32)
    q_nhd = queries(4, 6, 16, torch.float32)
    kernel = CpuAttention(table, 6)
    together = kernel(0, seqs, q_nhd)
    for i in range(4):
        assert torch.equal(kernel(0, seqs[i : i + 1], q_nhd[i : i + 1]), together[i : i + 1])


def test_types_without_a_kernel_are_served_by_the_gathered_one():
    table, _ = ragged_table([[5]], 8, torch.float16)
    assert isinstance(decode_attention(table, 2), GatheredAttention)
    table, _ = ragged_table([[5]], 8, torch.bfloat16)
    assert isinstance(decode_attention(table, 2), CpuAttention)


@pytest.mark.parametrize(("queries", "keys"), [(7, 7), (3, 7), (1, 7)])
def test_dense_causal_attention(queries, keys):
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(queries, 4, 8, generator=generator)
    k, v = (torch.randn(keys, 2, 8, generator=generator) for _ in range(2))
    out = causal_attention(q, k, v)
    for t in range(queries):
        seen = keys - queries + t + 1
        for head in range(4):
            expected = reference.attend(q[t, head].tolist(), k[:seen, head // 2].tolist(), v[:seen, head // 2].tolist())
            np.testing.assert_allclose(out[t, head].numpy(), expected, rtol=1e-5, atol=1e-5)
