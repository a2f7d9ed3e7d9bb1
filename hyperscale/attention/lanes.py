"""The two products of attention over a stored block, in vectors of 16 fp32 lanes, for one to three query heads.

Written as LLVM vectors: left to itself, the compiler must prove that arrays do not overlap and sums the lanes of each
score one by one, which costs more than the products. LLVM splits the vectors where registers are narrower. A block is
read once for all heads and widened to fp32 in registers.

`pool` is an array (blocks, 16, head_dim) of uint16 (the bits of bf16) or uint32 (of fp32). Other arguments are
addresses of fp32 (intp), and strides in bytes from one head to the next. On the way the products prefetch `lines` cache
lines at `fetch`, a block that is due soon; all at once would stall the processor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from hyperscale.attention import vectors as vec
from hyperscale.kvcache.block_pool import BLOCK_SIZE

_TOGETHER = 8
"""Tokens scored at once: enough sums to hide one another's latency."""
assert BLOCK_SIZE == 2 * _TOGETHER == vec.LANES


def _score(heads: int) -> Callable[..., Any]:
    @intrinsic
    def score(typing_context, pool, block, q, q_stride, scores, scores_stride, fetch, lines):  # type: ignore[no-untyped-def]
        """Set scores[h, t] = q[h] . block[t] for the 16 tokens of a block."""

        def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            stored = _Block.of(context, builder, signature, arguments)
            q_hd = vec.rows(builder, arguments[2], arguments[3], heads)
            scores_ht = vec.rows(builder, arguments[4], arguments[5], heads)

            def product(head_dim: ir.Value) -> None:
                for first in (0, _TOGETHER):
                    vec.prefetch(builder, arguments[6], arguments[7], part=first // _TOGETHER)
                    sums_ht = [[vec.variable(builder) for _ in range(_TOGETHER)] for _ in range(heads)]
                    with vec.whole_vectors(builder, head_dim) as c:
                        q_hc = [vec.load(builder, q_d, c) for q_d in q_hd]
                        for t in range(_TOGETHER):
                            k_c = stored.vector(first + t, c)
                            for q_c, sums_t in zip(q_hc, sums_ht, strict=True):
                                builder.store(vec.fma(builder, q_c, k_c, builder.load(sums_t[t])), sums_t[t])
                    for sums_t, scores_t in zip(sums_ht, scores_ht, strict=True):
                        summed = vec.lane_sums(builder, [builder.load(total) for total in sums_t])
                        vec.store(builder, summed, scores_t, vec.word(head_dim, first))

            vec.by_head_dim(builder, stored.head_dim, product)
            with stored.rest() as c, cgutils.for_range(builder, vec.word(c, BLOCK_SIZE)) as t:
                for q_d, scores_t in zip(q_hd, scores_ht, strict=True):
                    vec.add_product(builder, scores_t, t.index, vec.at(builder, q_d, c), stored.number(t.index, c))
            return context.get_dummy_value()

        return types.void(pool, *[types.intp] * 7), codegen

    return cast("Callable[..., Any]", score)


def _mix(heads: int) -> Callable[..., Any]:
    @intrinsic
    def mix(typing_context, pool, block, weights, weights_stride, out, out_stride, fetch, lines):  # type: ignore[no-untyped-def]
        """Add the sum of weights[h, t] block[t] over the 16 tokens of a block to out[h]."""

        def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            stored = _Block.of(context, builder, signature, arguments)
            weights_ht = vec.rows(builder, arguments[2], arguments[3], heads)
            out_hd = vec.rows(builder, arguments[4], arguments[5], heads)

            def product(head_dim: ir.Value) -> None:
                for first in (0, _TOGETHER):
                    vec.prefetch(builder, arguments[6], arguments[7], part=first // _TOGETHER)
                    tokens = range(first, first + _TOGETHER)
                    splats_ht = [
                        [vec.splat(builder, vec.at(builder, w_t, vec.word(head_dim, t))) for t in tokens]
                        for w_t in weights_ht
                    ]
                    with vec.whole_vectors(builder, head_dim) as c:
                        sums_h = [vec.load(builder, out_d, c) for out_d in out_hd]
                        for t in range(_TOGETHER):
                            v_c = stored.vector(first + t, c)
                            sums_h = [vec.fma(builder, splats_ht[h][t], v_c, sums_h[h]) for h in range(heads)]
                        for sums, out_d in zip(sums_h, out_hd, strict=True):
                            vec.store(builder, sums, out_d, c)

            vec.by_head_dim(builder, stored.head_dim, product)
            with stored.rest() as c, cgutils.for_range(builder, vec.word(c, BLOCK_SIZE)) as t:
                for w_t, out_d in zip(weights_ht, out_hd, strict=True):
                    vec.add_product(builder, out_d, c, vec.at(builder, w_t, t.index), stored.number(t.index, c))
            return context.get_dummy_value()

        return types.void(pool, *[types.intp] * 7), codegen

    return cast("Callable[..., Any]", mix)


score1, score2, score3 = _score(1), _score(2), _score(3)
mix1, mix2, mix3 = _mix(1), _mix(2), _mix(3)


@intrinsic
def greatest(typing_context, values, count):  # type: ignore[no-untyped-def]
    """Return the greatest of the first `count` fp32 at this address, `count` a multiple of 16; NaN is passed over."""

    def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        base, count = vec.pointer(builder, arguments[0]), arguments[1]
        best = vec.variable(builder, [float("-inf")] * vec.LANES)
        with vec.whole_vectors(builder, count) as i:
            value, so_far = vec.load(builder, base, i), builder.load(best)
            builder.store(builder.select(builder.fcmp_ordered(">", value, so_far), value, so_far), best)
        vector, lanes = builder.load(best), vec.LANES
        while lanes > 1:
            lanes //= 2
            other = vec.shuffle(builder, vector, vector, [(lane + lanes) % vec.LANES for lane in range(vec.LANES)])
            vector = builder.select(builder.fcmp_ordered(">", other, vector), other, vector)
        return builder.extract_element(vector, ir.Constant(vec.INT, 0))

    return types.float32(types.intp, types.intp), codegen


@dataclass
class _Block:
    """Code that reads a block of the pool."""

    builder: ir.IRBuilder
    words: ir.Value
    head_dim: ir.Value

    @classmethod
    def of(cls, context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> _Block:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        head_dim = builder.extract_value(array.shape, 2)
        first = builder.mul(arguments[1], builder.mul(head_dim, vec.word(head_dim, BLOCK_SIZE)))
        return cls(builder, builder.gep(array.data, [first]), head_dim)

    def vector(self, token: int, c: ir.Value) -> ir.Value:
        """Load the fp32 numbers c .. c + 15 of a token."""
        at = vec.index(self.builder, vec.word(c, token), self.head_dim, c)
        return self._widen(vec.load(self.builder, self.words, at, self._word_type()))

    def number(self, token: ir.Value, c: ir.Value) -> ir.Value:
        """Load the fp32 number c of a token."""
        return self._widen(vec.at(self.builder, self.words, vec.index(self.builder, token, self.head_dim, c)))

    @contextmanager
    def rest(self) -> Iterator[ir.Value]:
        """Loop over the channels left of head_dim after whole vectors."""
        lanes = vec.word(self.head_dim, vec.LANES)
        whole = self.builder.mul(self.builder.udiv(self.head_dim, lanes), lanes)
        with cgutils.for_range(self.builder, self.head_dim, start=whole) as loop:
            yield loop.index

    def _word_type(self) -> ir.Type:
        return self.words.type.pointee

    def _widen(self, stored: ir.Value) -> ir.Value:
        """Widen to fp32: a bf16 is its upper half."""
        vector = isinstance(stored.type, ir.VectorType)
        if self._word_type().width == 16:
            wide = ir.VectorType(vec.INT, vec.LANES) if vector else vec.INT
            stored = self.builder.shl(
                self.builder.zext(stored, wide), ir.Constant(wide, [16] * vec.LANES if vector else 16)
            )
        return self.builder.bitcast(stored, vec.VECTOR if vector else vec.FLOAT)
