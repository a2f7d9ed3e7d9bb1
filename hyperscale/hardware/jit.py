"""bf16 and exp for compiled CPU loops: numba has no bf16, and a call to libm prevents vectorisation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray
from torch import Tensor

from hyperscale.hardware.kernel_cache import keep

FASTMATH = {"contract", "reassoc", "nsz"}
"""LLVM flags that let sums be reordered but respect NaN and infinity."""


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate like `numba.njit`, with machine code kept on disk by `hyperscale.hardware.kernel_cache`."""

    def compile_(function: Callable[..., Any]) -> Callable[..., Any]:
        dispatcher = njit(**options)(function)
        # A plugin may inline code from anywhere: no hash of sources would know of all of it.
        if function.__module__.startswith("hyperscale."):
            keep(dispatcher)
        return cast("Callable[..., Any]", dispatcher)

    return compile_


def bits(x: Tensor) -> NDArray[np.uint16] | NDArray[np.uint32]:
    """View a CPU tensor's memory as unsigned integers of its item size."""
    return x.view(torch.uint16 if x.element_size() == 2 else torch.uint32).numpy()


@intrinsic
def to_float(typing_context, word):  # type: ignore[no-untyped-def]
    """Return the fp32 with these bits: a uint32 holds an fp32, a uint16 a bf16, the upper half of an fp32."""

    def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        (value,) = arguments
        if signature.args[0].bitwidth == 16:
            value = builder.shl(builder.zext(value, ir.IntType(32)), ir.Constant(ir.IntType(32), 16))
        return builder.bitcast(value, ir.FloatType())

    return types.float32(word), codegen


@intrinsic
def to_bits(typing_context, value):  # type: ignore[no-untyped-def]
    """Return the bits of an fp32."""

    def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.uint32(types.float32), codegen


@compiled(inline="always")
def to_bf16(value):  # type: ignore[no-untyped-def]
    """Return the bits of the bf16 nearest to an fp32, ties to even; NaN stays NaN."""
    word = to_bits(value)
    if value != value:
        return np.uint16(0x7FC0)
    return np.uint16((word + np.uint32(0x7FFF) + ((word >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16))


_LOG2_E = np.float32(1.4426950408889634)
# Taylor coefficients of 2^f around 0: for f in [-0.5, 0.5] the relative error is below 2e-6.
_C1, _C2, _C3 = np.float32(0.69314718), np.float32(0.24022651), np.float32(0.055504109)
_C4, _C5, _C6 = np.float32(0.0096181291), np.float32(0.0013333558), np.float32(0.00015403530)


@compiled(fastmath=FASTMATH, inline="always")
def exp(x):  # type: ignore[no-untyped-def]
    """Return e^x of an fp32 x <= 0 as 2^n 2^f, |f| <= 1/2; at least 2^-126. NaN stays NaN."""
    y = x * _LOG2_E
    y = np.float32(-126.0) if y < np.float32(-126.0) else y
    n = np.floor(y + np.float32(0.5))
    f = y - n
    power = np.float32(1) + f * (_C1 + f * (_C2 + f * (_C3 + f * (_C4 + f * (_C5 + f * _C6)))))
    return power * to_float(np.uint32((np.int32(n) + np.int32(127)) << np.int32(23)))
