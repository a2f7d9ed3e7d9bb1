"""bf16 and exp of the compiled loops against torch and numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from hyperscale.hardware.jit import bits, exp, to_bf16, to_float

floats32 = st.floats(width=32, allow_nan=True, allow_infinity=True)


@njit
def _exp(x):
    return exp(x)


@njit
def _bf16(x):
    return to_bf16(x)


@njit
def _float(word):
    return to_float(word)


@given(floats32)
def test_bf16_rounds_as_torch(value: float) -> None:
    expected = torch.tensor([value], dtype=torch.float32).bfloat16()
    word = np.uint16(_bf16(np.float32(value)))
    if np.isnan(value):
        assert np.isnan(_float(word))
    else:
        assert word == bits(expected)[0]
        assert _float(word) == expected.float().item()


@given(floats32)
def test_fp32_bits_are_their_own(value: float) -> None:
    word = np.float32(value).view(np.uint32)
    back = np.float32(_float(word))
    assert back.view(np.uint32) == word or np.isnan(back)


@given(st.floats(-80, 0, width=32))
def test_exp(x: float) -> None:
    assert _exp(np.float32(x)) == pytest.approx(np.exp(np.float64(np.float32(x))), rel=3e-6)


def test_exp_of_what_is_far_below_vanishes_and_nan_stays() -> None:
    assert 0 <= _exp(np.float32(-1e30)) < 1e-37
    assert np.isnan(_exp(np.float32(np.nan)))
