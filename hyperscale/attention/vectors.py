"""LLVM builders for vectors of 16 fp32 lanes, as lanes.py uses them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from llvmlite import ir
from numba.core import cgutils

LANES = 16
LINE = 64
"""Bytes of a cache line."""
FLOAT, INT = ir.FloatType(), ir.IntType(32)
VECTOR = ir.VectorType(FLOAT, LANES)


def index(builder: ir.IRBuilder, row: ir.Value, width: ir.Value, column: ir.Value) -> ir.Value:
    """Compute row * width + column."""
    return builder.add(builder.mul(row, width), column)


def by_head_dim(builder: ir.IRBuilder, head_dim: ir.Value, body: Callable[[ir.Value], None]) -> None:
    """Emit `body` for any head_dim, and once more for each usual one, where its loops unroll."""
    end = builder.append_basic_block("any_head_dim_done")
    for usual in (64, 128):
        with builder.if_then(builder.icmp_unsigned("==", head_dim, word(head_dim, usual))):
            body(word(head_dim, usual))
            builder.branch(end)
    body(head_dim)
    builder.branch(end)
    builder.position_at_end(end)


def prefetch(builder: ir.IRBuilder, address: ir.Value, lines: ir.Value, part: int) -> None:
    """Prefetch the first or second half of `lines` cache lines."""
    half = builder.lshr(lines, word(lines, 1))
    start, stop = (half, lines) if part else (word(lines, 0), half)
    pointer = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), (pointer, INT, INT, INT))
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    with cgutils.for_range(builder, stop, start=start) as line:
        at = builder.inttoptr(index(builder, line.index, word(lines, LINE), address), pointer)
        builder.call(function, (at, *(ir.Constant(INT, value) for value in (0, 3, 1))))


@contextmanager
def whole_vectors(builder: ir.IRBuilder, width: ir.Value) -> Iterator[ir.Value]:
    """Loop over the offsets 0, 16, ... of the whole vectors in `width`."""
    with cgutils.for_range(builder, builder.udiv(width, word(width, LANES))) as loop:
        yield builder.mul(loop.index, word(width, LANES))


def word(like: ir.Value, value: int) -> ir.Constant:
    """Make a constant of the type of `like`."""
    return ir.Constant(like.type, value)


def variable(builder: ir.IRBuilder, value: list[float] | None = None) -> ir.Value:
    """Allocate a vector in a register: zeros, or `value`."""
    variable = cgutils.alloca_once(builder, VECTOR)
    builder.store(ir.Constant(VECTOR, value), variable)
    return variable


def pointer(builder: ir.IRBuilder, address: ir.Value) -> ir.Value:
    """Make a pointer to the fp32 at an address."""
    return builder.inttoptr(address, FLOAT.as_pointer())


def rows(builder: ir.IRBuilder, address: ir.Value, stride: ir.Value, count: int) -> list[ir.Value]:
    """Make pointers to `count` rows of fp32 that lie `stride` bytes apart."""
    return [pointer(builder, index(builder, word(stride, i), stride, address)) for i in range(count)]


def at(builder: ir.IRBuilder, base: ir.Value, index: ir.Value) -> ir.Value:
    """Load the number at base[index]."""
    return builder.load(builder.gep(base, [index]))


def load(builder: ir.IRBuilder, base: ir.Value, index: ir.Value, element: ir.Type = FLOAT) -> ir.Value:
    """Load the vector at base[index ...]."""
    place = builder.bitcast(builder.gep(base, [index]), ir.VectorType(element, LANES).as_pointer())
    return builder.load(place, align=2 if element == ir.IntType(16) else 4)


def store(builder: ir.IRBuilder, vector: ir.Value, base: ir.Value, index: ir.Value) -> None:
    """Write a vector to base[index ...]."""
    builder.store(vector, builder.bitcast(builder.gep(base, [index]), vector.type.as_pointer()), align=4)


def add_product(builder: ir.IRBuilder, base: ir.Value, index: ir.Value, a: ir.Value, b: ir.Value) -> None:
    """Add a b to base[index]."""
    place = builder.gep(base, [index])
    builder.store(builder.fadd(builder.load(place), builder.fmul(a, b)), place)


def splat(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """Make a vector with `value` in every lane."""
    first = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), value, ir.Constant(INT, 0))
    return shuffle(builder, first, first, [0] * LANES)


def fma(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
    """Compute a b + c, in one instruction where the processor has it."""
    kind = ir.FunctionType(VECTOR, (VECTOR, VECTOR, VECTOR))
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.v{LANES}f32")
    return builder.call(function, (a, b, c))


def shuffle(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, lanes: list[int]) -> ir.Value:
    """Select lanes: lane i of the result is lane lanes[i] of a followed by b."""
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(INT, len(lanes)), lanes))


def lane_sums(builder: ir.IRBuilder, vectors: list[ir.Value]) -> ir.Value:
    """Sum the lanes of each of eight vectors into one of 8 lanes: 16 shuffles instead of 64."""
    for size in (1, 2):
        low, high = _unpacked(size, 0), _unpacked(size, 1)
        vectors = [_merge(builder, vectors[i], vectors[i + 1], low, high) for i in range(0, len(vectors), 2)]
    low = [lane % 8 + (LANES if lane >= 8 else 0) for lane in range(LANES)]
    eight = _merge(builder, vectors[0], vectors[1], low, [lane + 8 for lane in low])
    low = [lane + lane // 4 * 4 for lane in range(8)]
    return _merge(builder, eight, eight, low, [lane + 4 for lane in low])


def _merge(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, low: list[int], high: list[int]) -> ir.Value:
    return builder.fadd(shuffle(builder, a, b, low), shuffle(builder, a, b, high))


def _unpacked(size: int, half: int) -> list[int]:
    """List the lanes of the lower or upper half of each four, `size` lanes of a and of b in turns."""
    lanes = []
    for lane in range(LANES):
        quad, offset = divmod(lane % 4, size)
        lanes.append(lane // 4 * 4 + 2 * half + quad // 2 * size + offset + (LANES if quad % 2 else 0))
    return lanes
