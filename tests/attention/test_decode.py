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
from hyperscale.attention.dense import causal_attention
from hyperscale.attention.reference import GatheredAttention
from hyperscale.backends.rows import Rows, pages_for
from tests.reference import attention as reference

Kernel = Callable[[Rows, int], DecodeAttention]
KERNELS: list[Kernel] = [CpuAttention, GatheredAttention]
# Inputs are rounded to bf16 for both sides; what remains is that the output is rounded to 8 bits of mantissa.
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2**-7}


def filled_rows(
    lengths: list[int], kv_heads: int, head_dim: int, dtype: torch.dtype, seed: int = 0, spread: float = 1.0
) -> tuple[Rows, np.ndarray]:
    """Rows of one layer whose sequences hold `lengths` tokens; returns them with their slots."""
    generator = torch.Generator().manual_seed(seed)
    rows = Rows(
        layers=1, kv_heads=kv_heads, head_dim=head_dim, slots=len(lengths), max_length=max(lengths) + 1,
        pages=kv_heads * sum(pages_for(length) for length in lengths), dtype=dtype, device=torch.device("cpu"),
    )  # fmt: skip
    slots = np.array([rows.open() for _ in lengths])
    for slot, length in zip(slots, lengths, strict=True):
        k, v = (spread * torch.randn(length, kv_heads, head_dim, generator=generator) for _ in range(2))
        rows.extend(0, slot, k.to(dtype), v.to(dtype))
    return rows, slots


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@settings(max_examples=15, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 70), min_size=1, max_size=4),
    kv_heads=st.integers(1, 3),
    group=st.sampled_from([1, 2, 3, 5, 7]),
    head_dim=st.sampled_from([8, 24, 64]),
    seed=st.integers(0, 99),
)
def test_a_kernel_computes_attention(kernel, dtype, lengths, kv_heads, group, head_dim, seed):
    rows, slots = filled_rows(lengths, kv_heads, head_dim, dtype, seed)
    order = np.random.default_rng(seed).permutation(len(lengths))
    q_nhd = torch.randn(len(lengths), kv_heads * group, head_dim, generator=torch.Generator().manual_seed(seed + 1))
    q_nhd = q_nhd.to(dtype)
    out_nhd = kernel(rows, kv_heads * group)(0, slots[order], q_nhd)
    assert out_nhd.dtype == dtype
    for i, slot in enumerate(slots[order]):
        for head in range(kv_heads * group):
            k_td, v_td = rows.gather(0, slot, head // group)
            expected = reference.attend(q_nhd[i, head].tolist(), k_td.tolist(), v_td.tolist())
            got = out_nhd[i, head].double().numpy()
            np.testing.assert_allclose(got, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("kernel", KERNELS)
def test_scores_far_apart_neither_overflow_nor_vanish(kernel):
    rows, slots = filled_rows([40], 1, 64, torch.float32, spread=30.0)
    q_nhd = 30 * torch.randn(1, 2, 64, generator=torch.Generator().manual_seed(3))
    out_nhd = kernel(rows, 2)(0, slots, q_nhd)
    k_td, v_td = rows.gather(0, slots[0], 0)
    for head in range(2):
        expected = reference.attend(q_nhd[0, head].tolist(), k_td.tolist(), v_td.tolist())
        np.testing.assert_allclose(out_nhd[0, head].double().numpy(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kernel", KERNELS)
def test_what_an_earlier_sequence_left_in_a_page_is_never_seen(kernel):
    rows, slots = filled_rows([16], 1, 8, torch.float32)
    rows.k_ptd.fill_(float("nan"))
    rows.v_ptd.fill_(float("nan"))
    rows.close(slots[0])
    slot = rows.open()
    k, v = (torch.randn(3, 1, 8, generator=torch.Generator().manual_seed(i)) for i in range(2))
    for t in range(3):
        rows.append(0, np.array([slot]), k[t : t + 1], v[t : t + 1])
    q = torch.randn(1, 1, 8, generator=torch.Generator().manual_seed(2))
    expected = reference.attend(q[0, 0].tolist(), k[:, 0].tolist(), v[:, 0].tolist())
    np.testing.assert_allclose(kernel(rows, 1)(0, np.array([slot]), q)[0, 0].numpy(), expected, rtol=1e-5, atol=1e-5)


def test_a_sequences_output_does_not_depend_on_its_batch():
    rows, slots = filled_rows([5, 40, 17, 33], 2, 16, torch.float32)
    q_nhd = torch.randn(4, 6, 16, generator=torch.Generator().manual_seed(1))
    kernel = CpuAttention(rows, 6)
    together = kernel(0, slots, q_nhd)
    for i in range(4):
        assert torch.equal(kernel(0, slots[i : i + 1], q_nhd[i : i + 1]), together[i : i + 1])


def test_types_without_a_kernel_are_served_by_the_gathered_one():
    rows, _ = filled_rows([5], 1, 8, torch.float16)
    assert isinstance(decode_attention(rows, 2), GatheredAttention)
    rows, _ = filled_rows([5], 1, 8, torch.bfloat16)
    assert isinstance(decode_attention(rows, 2), CpuAttention)


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
