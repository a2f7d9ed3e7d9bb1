"""The Triton kernel against the slow reference and the CPU's kernel.

It runs on a GPU where there is one, or else in Triton's interpreter (see tests/__init__.py).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from hyperscale.attention.base import DecodeAttention, decode_attention
from hyperscale.attention.cpu import CpuAttention
from hyperscale.attention.reference import GatheredAttention
from hyperscale.kvcache.block_table import PAGE_SIZE, Rows
from tests.attention.rows import (
    MASS_TOLERANCE,
    TOLERANCE,
    assert_close,
    assert_mass,
    expected,
    expected_of_pages,
    queries,
    ragged_rows,
    some_pages,
)

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not here")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SHAPES = [(1, 8), (3, 24), (5, 64), (6, 80), (7, 128), (20, 8)]  # group, head_dim
LENGTHS_NK = [[1, 530], [15, 16], [17, 300]]
SHARED = 99 * 1024
"""Bytes that a block of threads can have on the GPUs of capability 8.0 and up that have least."""


def gpu_attention(rows: Rows, heads: int) -> DecodeAttention:
    from hyperscale.attention.gpu import GpuAttention

    return GpuAttention(rows, heads)


def close(got: Any, wanted: Any, tolerance: float) -> None:
    """Two kernels agree."""
    got, wanted = (x.float().cpu().numpy() if isinstance(x, torch.Tensor) else x for x in (got, wanted))
    np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("group", "head_dim"), SHAPES)
@pytest.mark.parametrize("dtype", list(TOLERANCE))
def test_the_kernel_computes_attention_and_its_mass(dtype, group, head_dim):
    rows, slots = ragged_rows(LENGTHS_NK, head_dim, dtype, device=DEVICE)
    order = np.array([2, 0, 1])
    q_nhd = queries(3, 2 * group, head_dim, dtype)
    out_nhd, mass_nkt = gpu_attention(rows, 2 * group).weighed(0, slots[order], q_nhd.to(DEVICE))
    expected_nhd, expected_nkt = expected(rows, slots[order], q_nhd)
    assert out_nhd.dtype == dtype
    assert_close(out_nhd, expected_nhd)
    assert_mass(mass_nkt, expected_nkt, group)
    if dtype != torch.float16:  # The CPU's kernel has no fp16.
        rows, slots = ragged_rows(LENGTHS_NK, head_dim, dtype)
        cpu_nhd, cpu_nkt = CpuAttention(rows, 2 * group).weighed(0, slots[order], q_nhd)
        close(out_nhd, cpu_nhd, TOLERANCE[dtype])
        close(mass_nkt, cpu_nkt, MASS_TOLERANCE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("group", "head_dim"), [(1, 24), (3, 80)])
def test_each_head_may_attend_pages_of_its_own(dtype, group, head_dim):
    lengths_nk = [[300, 300], [16, 16], [1, 17]]
    rows, slots = ragged_rows(lengths_nk, head_dim, dtype, device=DEVICE)
    pages_nhp, lengths_nh = some_pages(rows, slots, 2 * group, seed=3)
    q_nhd = queries(3, 2 * group, head_dim, dtype)
    out_nhd = gpu_attention(rows, 2 * group).selected(q_nhd.to(DEVICE), pages_nhp, lengths_nh)
    assert out_nhd.dtype == dtype
    assert_close(out_nhd, expected_of_pages(rows, q_nhd, pages_nhp, lengths_nh))
    rows, _ = ragged_rows(lengths_nk, head_dim, dtype)
    close(out_nhd, CpuAttention(rows, 2 * group).selected(q_nhd, pages_nhp, lengths_nh), TOLERANCE[dtype])


def test_a_call_is_what_weighed_gives_and_takes_any_layout_of_queries():
    rows, slots = ragged_rows(LENGTHS_NK, 24, torch.float32, device=DEVICE)
    attention = gpu_attention(rows, 10)
    q_nhd = queries(3, 10, 24, torch.float32).to(DEVICE)
    out_nhd = attention(0, slots, q_nhd)
    assert torch.equal(out_nhd, attention.weighed(0, slots, q_nhd)[0])
    assert torch.equal(out_nhd, attention(0, slots, q_nhd.transpose(0, 1).contiguous().transpose(0, 1)))


def test_a_sequences_output_does_not_depend_on_its_batch():
    rows, slots = ragged_rows([[5, 290], [40, 40], [513, 1]], 16, torch.float32, device=DEVICE)
    q_nhd = queries(3, 6, 16, torch.float32).to(DEVICE)
    attention = gpu_attention(rows, 6)
    together_nhd, together_nkt = attention.weighed(0, slots, q_nhd)
    for i in range(3):
        out_nhd, mass_nkt = attention.weighed(0, slots[i : i + 1], q_nhd[i : i + 1])
        assert torch.equal(out_nhd, together_nhd[i : i + 1])
        np.testing.assert_array_equal(mass_nkt[0], together_nkt[i, :, : mass_nkt.shape[2]])


def test_scores_far_apart_neither_overflow_nor_vanish():
    rows, slots = ragged_rows([[300]], 64, torch.float32, spread=30.0, device=DEVICE)
    q_nhd = queries(1, 2, 64, torch.float32, spread=30.0)
    out_nhd = gpu_attention(rows, 2)(0, slots, q_nhd.to(DEVICE))
    close(out_nhd, expected(rows, slots, q_nhd)[0], 1e-4)


def test_a_page_that_another_sequence_filled_with_nan_leaks_nothing():
    rows, slots = ragged_rows([[16]], 8, torch.float32, device=DEVICE)
    rows.k_ptd.fill_(torch.nan)
    rows.v_ptd.fill_(torch.nan)
    rows.close(slots[0])
    slots = np.array([rows.open()])
    for t in range(3):
        k, v = (queries(1, 1, 8, torch.float32, seed=10 * t + i).to(DEVICE) for i in range(2))
        rows.append(0, slots, k, v)
    q_nhd = queries(1, 1, 8, torch.float32)
    assert rows.pages_in_use == 1
    out_nhd, mass_nkt = gpu_attention(rows, 1).weighed(0, slots, q_nhd.to(DEVICE))
    expected_nhd, expected_nkt = expected(rows, slots, q_nhd)
    assert_close(out_nhd, expected_nhd)
    assert_mass(mass_nkt, expected_nkt, 1)


def test_the_work_follows_the_live_tokens():
    from hyperscale.attention.gpu import SPLIT, SPLIT_PAGES, _Splits

    lengths_r = np.array([10, 4 * SPLIT + 1, SPLIT, 3], np.int32)
    pages_rp = np.arange(4 * 70, dtype=np.int32).reshape(4, 70)
    work, bounds = _Splits.of(pages_rp, lengths_r, torch.device("cpu"))
    assert bounds.tolist() == [0, 1, 6, 7, 8]
    rows, tokens, firsts = work[:, SPLIT_PAGES : SPLIT_PAGES + 3].T.tolist()
    assert rows == [0, 1, 1, 1, 1, 1, 2, 3]
    assert tokens == [10, SPLIT, SPLIT, SPLIT, SPLIT, 1, SPLIT, 3]
    for row, first, count, pages in zip(rows, firsts, tokens, work[:, :SPLIT_PAGES].numpy(), strict=True):
        used = -(-count // PAGE_SIZE)
        np.testing.assert_array_equal(pages[:used], pages_rp[row, first // PAGE_SIZE :][:used])


def test_the_kernels_compile_for_gpus_that_are_not_here(tmp_path):
    variables = os.environ | {"TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.attention.compile_gpu"],
        env=variables, cwd=Path(__file__).parents[2],
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for shared in json.loads(done.stdout).values():
        assert len(shared) == 4
        assert max(shared) <= SHARED


@pytest.mark.parametrize(
    ("capability", "head_dim", "kernel"),
    [((9, 0), 128, "GpuAttention"), ((7, 5), 128, "GatheredAttention"), ((9, 0), 320, "GatheredAttention")],
)
def test_a_gpu_that_triton_serves_gets_the_kernel(monkeypatch, capability, head_dim, kernel):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    rows: Any = SimpleNamespace(device=torch.device("cuda", 0), dtype=torch.bfloat16, head_dim=head_dim)
    assert type(decode_attention(rows, 8)).__name__ == kernel


def test_without_triton_a_gpu_is_served_by_the_gathered_kernel(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setitem(sys.modules, "triton", None)
    rows: Any = SimpleNamespace(device=torch.device("cuda", 0), dtype=torch.bfloat16, head_dim=128)
    assert isinstance(decode_attention(rows, 8), GatheredAttention)
