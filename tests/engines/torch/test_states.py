"""Arrays of running sequences against one list a sequence."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperscale.engines.torch.sampling import CHUNK, Uniforms
from hyperscale.engines.torch.states import SequenceStates
from hyperscale.kvcache.meter import StepCounts

SEQS, VOCAB, EOS = 5, 11, 7


@given(seed=st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_any_interleaving_gives_each_sequence_its_own_steps(seed: int) -> None:
    rng = np.random.default_rng(seed)
    states = SequenceStates(SEQS, VOCAB, {EOS, VOCAB + 40})
    expected: dict[int, dict[str, Any]] = {}
    for step in range(60):
        free = [seq for seq in range(SEQS) if seq not in expected]
        for seq in free[: int(rng.integers(0, 2))]:
            prompt, cap, identity = int(rng.integers(1, 9)), int(rng.integers(10, 40)), (seed, "t", str(step), seq)
            states.begin(seq, prompt, cap, Uniforms(*identity))
            expected[seq] = {"length": prompt, "cap": cap, "uniforms": Uniforms(*identity), "rows": [], "last": None}
            drawn = np.array([seq])
            assert states.next_uniforms(drawn)[0] == Uniforms(*identity).at(0)
            token = int(rng.integers(VOCAB))
            states.push(drawn, np.array([token]))
            expected[seq] |= {"last": token, "length": prompt + 1}
        running = [seq for seq in expected if rng.random() < 0.8]
        if not running:
            continue
        seqs = np.array(running)
        counts = StepCounts(*(rng.integers(0, 1000, len(seqs)) for _ in range(3)))
        done = states.done(seqs)
        assert done.tolist() == [
            expected[seq]["last"] == EOS or expected[seq]["length"] >= expected[seq]["cap"] for seq in running
        ]
        states.record(seqs, counts)
        for i, seq in enumerate(running):
            expected[seq]["rows"].append((expected[seq]["last"], *(int(x[i]) for x in counts), len(seqs), float(step)))
        alive = seqs[~done]
        if len(alive):
            numbers = states.next_uniforms(alive)
            tokens = rng.integers(0, VOCAB, len(alive))
            states.push(alive, tokens)
            for seq, number, token in zip(alive.tolist(), numbers, tokens, strict=True):
                assert number == expected[seq]["uniforms"].at(len(expected[seq]["rows"]))
                expected[seq] |= {"last": int(token), "length": expected[seq]["length"] + 1}
        states.clock(seqs, float(step))
        for seq in seqs[done].tolist():
            assert list(zip(*states.steps(seq), strict=True)) == expected.pop(seq)["rows"]
            states.end(seq)


def test_a_chain_may_be_longer_than_a_chunk() -> None:
    states, seqs = SequenceStates(2, VOCAB, {EOS}), np.array([1])
    uniforms, steps = Uniforms(1, "t", "p", 0), 2 * CHUNK + 3
    states.begin(1, 4, 10 * CHUNK, uniforms)
    for step in range(steps):
        assert states.next_uniforms(seqs)[0] == uniforms.at(step)
        states.push(seqs, np.array([step % 5]))
        states.record(seqs, StepCounts(*(np.array([factor * step]) for factor in (1, 2, 3))))
        states.clock(seqs, step / 8)
    found, numbers = states.steps(1), np.arange(steps)
    np.testing.assert_array_equal(found.tokens, numbers % 5)
    np.testing.assert_array_equal(np.stack([found.reads, found.live, found.blocks]), np.outer([1, 2, 3], numbers))
    np.testing.assert_array_equal(found.seconds, numbers / 8)
    assert (found.threads == 1).all()
    assert states.length[1] == 4 + steps
