"""Compiles the Triton kernels as a call would, for GPUs that need not be here; prints the shared memory of each.

A process of its own: Triton either interprets or compiles, whichever it was imported for.
"""

from __future__ import annotations

import json
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from hyperscale.attention import gpu
from tests.attention.tables import queries, ragged_table

TYPES = {torch.float32: "*fp32", torch.bfloat16: "*bf16", torch.float16: "*fp16", torch.int32: "*i32"}
SHAPES = [(torch.bfloat16, 5, 80), (torch.float32, 6, 256)]
CAPABILITIES = 80, 90


class Compiled:
    """Stands in for a kernel: what would be launched is compiled instead."""

    def __init__(self, kernel: Any, shared: list[int]) -> None:
        self.kernel, self.shared = kernel, shared

    def __getitem__(self, grid: tuple[int, ...]) -> Compiled:
        return self

    def __call__(self, *arguments: Any, num_warps: int = 4, num_stages: int = 3, **constants: Any) -> None:
        names = self.kernel.arg_names
        values = dict(zip(names, arguments, strict=False))
        assert [*values, *constants] == names
        signature = {name: type_of(value) for name, value in values.items()} | dict.fromkeys(constants, "constexpr")
        even = {(i,): [["tt.divisibility", 16]] for i, name in enumerate(values) if signature[name].startswith("*")}
        source = ASTSource(fn=self.kernel, signature=signature, constexprs=constants, attrs=even)
        options = {"num_warps": num_warps, "num_stages": num_stages}
        for capability in CAPABILITIES:
            compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
            self.shared.append(compiled.metadata.shared)


def type_of(value: Any) -> str:
    """Triton's name for the type of an argument."""
    if isinstance(value, torch.Tensor):
        assert value.data_ptr() % 16 == 0
        return TYPES[value.dtype]
    return "fp32" if isinstance(value, float) else "i32"


def main() -> None:
    """Print shared bytes by kernel."""
    kernels = ("_attend_splits", "_join_splits", "_weigh_places")
    shared: dict[str, list[int]] = {name: [] for name in kernels}
    for name in kernels:
        setattr(gpu, name, Compiled(getattr(gpu, name), shared[name]))
    for dtype, group, head_dim in SHAPES:
        table, seqs = ragged_table([[300], [5]], head_dim, dtype)
        gpu.GpuAttention(table, group).weighed(0, seqs, queries(2, group, head_dim, dtype))
    print(json.dumps(shared))


if __name__ == "__main__":
    main()
