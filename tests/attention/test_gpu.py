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
from hyperscale.kvcache.block_pool import BLOCK_SIZE
from hyperscale.kvcache.block_table import BlockTable
from tests.attention.tables import (
    MASS_TOLERANCE,
    TOLERANCE,
    assert_close,
    assert_mass,
    expected,
    expected_of_blocks,
    queries,
    ragged_table,
    some_blocks,
)

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not here")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SHAPES = [(1, 8), (3, 24), (5, 64), (6, 80), (7, 128), (20, 8)]  # group, head_dim
LENGTHS_NK = [[1, 530], [15, 16], [17, 300]]
SHARED = 99 * 1024
"""Bytes that a block of threads can have on the GPUs of capability 8.0 and up that have least."""


def gpu_attention(table: BlockTable, heads: int) -> DecodeAttention:
    from hyperscale.attention.gpu import GpuAttention

    return GpuAttention(table, heads)


def close(got: Any, wanted: Any, tolerance: float) -> None:
    """Two kernels agree."""
    got, wanted = (x.float().cpu().numpy() if isinstance(x, torch.Tensor) else x for x in (got, wanted))
    np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("group", "head_dim"), SHAPES)
@pytest.mark.parametrize("dtype", list(TOLERANCE))
def test_the_kernel_computes_attention_and_its_mass(dtype, group, head_dim):
    table, seqs = ragged_table(LENGTHS_NK, head_dim, dtype, device=DEVICE)
    order = np.array([2, 0, 1])
    q_nhd = queries(3, 2 * group, head_dim, dtype)
    out_nhd, mass_nkt = gpu_attention(table, 2 * group).weighed(0, seqs[order], q_nhd.to(DEVICE))
    expected_nhd, expected_nkt = expected(table, seqs[order], q_nhd)
    assert out_nhd.dtype == dtype
    assert_close(out_nhd, expected_nhd)
    assert_mass(mass_nkt, expected_nkt, group)
    if dtype != torch.float16:  # The CPU's kernel has no fp16.
        table, seqs = ragged_table(LENGTHS_NK, head_dim, dtype)
        cpu_nhd, cpu_nkt = CpuAttention(table, 2 * group).weighed(0, seqs[order], q_nhd)
        close(out_nhd, cpu_nhd, TOLERANCE[dtype])
        close(mass_nkt, cpu_nkt, MASS_TOLERANCE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("group", "head_dim"), [(1, 24), (3, 80)])
def test_each_head_may_attend_blocks_of_its_own(dtype, group, head_dim):
    lengths_nk = [[300, 300], [16, 16], [1, 17]]
    table, seqs = ragged_table(lengths_nk, head_dim, dtype, device=DEVICE)
    blocks_nhb, lengths_nh = some_blocks(table, seqs, 2 * group, seed=3)
    q_nhd = queries(3, 2 * group, head_dim, dtype)
    out_nhd = gpu_attention(table, 2 * group).selected(q_nhd.to(DEVICE), blocks_nhb, lengths_nh)
    assert out_nhd.dtype == dtype
    assert_close(out_nhd, expected_of_blocks(table, q_nhd, blocks_nhb, lengths_nh))
    table, _ = ragged_table(lengths_nk, head_dim, dtype)
    close(out_nhd, CpuAttention(table, 2 * group).selected(q_nhd, blocks_nhb, lengths_nh), TOLERANCE[dtype])


def test_a_call_is_what_weighed_gives_and_takes_any_layout_of_queries():
    table, seqs = ragged_table(LENGTHS_NK, 24, torch.float32, device=DEVICE)
    attention = gpu_attention(table, 10)
    q_nhd = queries(3, 10, 24, torch.float32).to(DEVICE)
    out_nhd = attention(0, seqs, q_nhd)
    assert torch.equal(out_nhd, attention.weighed(0, seqs, q_nhd)[0])
    assert torch.equal(out_nhd, attention(0, seqs, q_nhd.transpose(0, 1).contiguous().transpose(0, 1)))


def test_a_sequences_output_does_not_depend_on_its_batch():
    table, seqs = ragged_table([[5, 290], [40, 40], [513, 1]], 16, torch.float32, device=DEVICE)
    q_nhd = queries(3, 6, 16, torch.float32).to(DEVICE)
    attention = gpu_attention(table, 6)
    together_nhd, together_nkt = attention.weighed(0, seqs, q_nhd)
    for i in range(3):
        out_nhd, mass_nkt = attention.weighed(0, seqs[i : i + 1], q_nhd[i : i + 1])
        assert torch.equal(out_nhd, together_nhd[i : i + 1])
        np.testing.assert_array_equal(mass_nkt[0], together_nkt[i, :, : mass_nkt.shape[2]])


def test_scores_far_apart_neither_overflow_nor_vanish():
    table, seqs = ragged_table([[300]], 64, torch.float32, spread=30.0, device=DEVICE)
    q_nhd = queries(1, 2, 64, torch.float32, spread=30.0)
    out_nhd = gpu_attention(table, 2)(0, seqs, q_nhd.to(DEVICE))
    close(out_nhd, expected(table, seqs, q_nhd)[0], 1e-4)


def test_a_block_that_another_sequence_filled_with_nan_leaks_nothing():
    table, seqs = ragged_table([[16]], 8, torch.float32, device=DEVICE)
    table.k_btd.fill_(torch.nan)
    table.v_btd.fill_(torch.nan)
    table.close(seqs[0])
    seqs = np.array([table.open()])
    for t in range(3):
        k, v = (queries(1, 1, 8, torch.float32, seed=10 * t + i).to(DEVICE) for i in range(2))
        table.append(0, seqs, k, v)
    q_nhd = queries(1, 1, 8, torch.float32)
    assert table.blocks_in_use == 1
    out_nhd, mass_nkt = gpu_attention(table, 1).weighed(0, seqs, q_nhd.to(DEVICE))
    expected_nhd, expected_nkt = expected(table, seqs, q_nhd)
    assert_close(out_nhd, expected_nhd)
    assert_mass(mass_nkt, expected_nkt, 1)


def test_the_work_follows_the_live_tokens():
    from hyperscale.attention.gpu import SPLIT, SPLIT_BLOCKS, _Splits

    lengths_r = np.array([10, 4 * SPLIT + 1, SPLIT, 3], np.int32)
    blocks_rb = np.arange(4 * 70, dtype=np.int32).reshape(4, 70)
    work, bounds = _Splits.of(blocks_rb, lengths_r, torch.device("cpu"))
    assert bounds.tolist() == [0, 1, 6, 7, 8]
    rows, tokens, firsts = work[:, SPLIT_BLOCKS : SPLIT_BLOCKS + 3].T.tolist()
    assert rows == [0, 1, 1, 1, 1, 1, 2, 3]
    assert tokens == [10, SPLIT, SPLIT, SPLIT, SPLIT, 1, SPLIT, 3]
    for row, first, count, blocks in zip(rows, firsts, tokens, work[:, :SPLIT_BLOCKS].numpy(), strict=True):
        used = -(-count // BLOCK_SIZE)
        np.testing.assert_array_equal(blocks[:used], blocks_rb[row, first // BLOCK_SIZE :][:used])


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
    table: Any = SimpleNamespace(device=torch.device("cuda", 0), dtype=torch.bfloat16, head_dim=head_dim)
    assert type(decode_attention(table, 8)).__name__ == kernel


def test_without_triton_a_gpu_is_served_by_the_gathered_kernel(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setitem(sys.modules, "triton", None)
    table: Any = SimpleNamespace(device=torch.device("cuda", 0), dtype=torch.bfloat16, head_dim=128)
    assert isinstance(decode_attention(table, 8), GatheredAttention)
