"""Sampling: one uniform number and one row of logits give one token.

The definition, in this order (that of transformers): temperature; the `top_k` most probable; of those the
fewest, most probable first, whose mass reaches `top_p`; of those the ones with at least `min_p` times the
greatest probability. Equal probabilities rank by token id. The token is read off the cumulative distribution
of what is left in the order of ids, because that order does not change when rounding swaps two near-equal
probabilities. Temperature 0 takes the most probable token.

Random numbers are counter-based: a thread's n-th draw depends on its identity, never on its neighbours.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
import torch
from numba import prange
from numpy.typing import NDArray
from torch import Tensor

from hyperscale.config import Sampling
from hyperscale.hardware.jit import compiled

CHUNK = 1024
"""Uniform numbers that are made at once."""


def draw(logits_nv: Tensor, sampling: Sampling, uniforms_n: NDArray[np.float64]) -> NDArray[np.int64]:
    """Draw a token for each row of logits; -1 where a row is not finite throughout."""
    # The least shows NaN and -inf; inf shows in the greatest, and in probabilities, which it makes NaN.
    finite_n = logits_nv.amin(-1).isfinite()
    if sampling.temperature == 0:
        greatest_n, tokens_n = logits_nv.max(-1)
        return torch.where(greatest_n.isfinite() & finite_n, tokens_n, -1).cpu().numpy()
    p_nv = (logits_nv.float() / sampling.temperature).softmax(-1)
    if p_nv.device.type == "cpu":
        top_k = min(sampling.top_k, p_nv.shape[1])
        drawn_n = _draw_rows(p_nv.numpy(), uniforms_n, top_k, sampling.top_p, sampling.min_p)
        return np.where(finite_n.numpy(), drawn_n, -1)
    tokens_n = draw_sorted(p_nv, sampling, torch.from_numpy(uniforms_n).to(p_nv.device))
    return torch.where(finite_n, tokens_n, -1).cpu().numpy()


def draw_sorted(p_nv: Tensor, sampling: Sampling, uniforms_n: Tensor) -> Tensor:
    """Draw by the definition over whole sorted rows of probabilities, for devices that sort quickly."""
    ranked_nv, ids_nv = p_nv.sort(dim=-1, descending=True, stable=True)
    mass_nv = ranked_nv.double()
    if sampling.top_k:
        mass_nv[:, sampling.top_k :] = 0
    before_nv = mass_nv.cumsum(-1) - mass_nv
    keep_nv = (before_nv < sampling.top_p * mass_nv.sum(-1, keepdim=True)) & (mass_nv > 0)
    keep_nv &= ranked_nv >= sampling.min_p * ranked_nv[:, :1]
    kept_nv = torch.zeros_like(mass_nv).scatter(1, ids_nv, mass_nv * keep_nv)
    cumulative_nv = kept_nv.cumsum(-1)
    target_n1 = uniforms_n[:, None] * cumulative_nv[:, -1:]
    tokens_n = (cumulative_nv <= target_n1).sum(-1)
    return torch.where(p_nv.isnan().any(-1), -1, tokens_n.clamp(max=p_nv.shape[1] - 1))


@compiled()
def _candidates(p_v, top_k, top_p, total):  # type: ignore[no-untyped-def]
    """List ids of the most probable tokens, ascending: enough for top_k, or for a mass of top_p.

    A full sort of a vocabulary takes longer than the model's layers; a few thousand tokens suffice.
    """
    cutoff = p_v.max() * np.float32(1e-3)
    while True:
        count, mass = 0, 0.0
        for v in range(p_v.shape[0]):
            if p_v[v] >= cutoff:
                count += 1
                mass += p_v[v]
        if cutoff == 0 or (count >= top_k if top_k else mass >= top_p * total):
            break
        cutoff = cutoff * np.float32(1e-3) if cutoff > 1e-20 else np.float32(0)
    ids = np.empty(count, np.int64)
    count = 0
    for v in range(p_v.shape[0]):
        if p_v[v] >= cutoff:
            ids[count] = v
            count += 1
    return ids


@compiled()
def _kept(p_v, top_k, top_p):  # type: ignore[no-untyped-def]
    """Ids that top_k and top_p keep, ascending."""
    total = 0.0
    for v in range(p_v.shape[0]):
        total += p_v[v]
    ids = _candidates(p_v, top_k, top_p, total)
    ranked = ids[np.argsort(-p_v[ids], kind="mergesort")]
    if top_k:
        ranked = ranked[:top_k]
        total = 0.0
        for v in ranked:
            total += p_v[v]
    before, count = 0.0, 0
    while count < ranked.shape[0] and before < top_p * total:
        before += p_v[ranked[count]]
        count += 1
    return np.sort(ranked[:count])


@compiled()
def _draw_row(p_v, uniform, top_k, top_p, min_p):  # type: ignore[no-untyped-def]
    greatest = p_v.max()
    if not greatest > 0:
        return -1
    ids = _kept(p_v, top_k, top_p) if top_k or top_p < 1 else np.arange(p_v.shape[0])
    least, mass = np.float32(min_p) * greatest, 0.0
    for v in ids:
        if p_v[v] >= least:
            mass += p_v[v]
    target, cumulative, last = uniform * mass, 0.0, -1
    for v in ids:
        if p_v[v] >= least and p_v[v] > 0:
            cumulative += p_v[v]
            last = v
            if cumulative > target:
                break
    return last


@compiled(parallel=True)
def _draw_rows(p_nv, uniforms_n, top_k, top_p, min_p):  # type: ignore[no-untyped-def]
    tokens_n = np.empty(p_nv.shape[0], np.int64)
    for i in prange(p_nv.shape[0]):
        tokens_n[i] = _draw_row(p_nv[i], uniforms_n[i], top_k, top_p, min_p)
    return tokens_n


def sequence_key(seed: int, task: str, problem_id: str, thread: int | None) -> int:
    """Hash a sequence, a thread or (None) its prompt, to 64 bits, for backends that draw numbers of their own."""
    identity = "\x1f".join((str(seed), task, problem_id, "prompt" if thread is None else str(thread), "cache"))
    return int.from_bytes(blake2b(identity.encode(), digest_size=8).digest(), "little")


class Uniforms:
    """The uniform numbers in [0, 1) of one thread, a pure function of its identity and the step.

    Philox keyed by a hash of (seed, task, problem id, thread), its counter advanced to the step.
    """

    def __init__(self, seed: int, task: str, problem_id: str, thread: int) -> None:
        identity = "\x1f".join((str(seed), task, problem_id, str(thread)))
        self._key = np.frombuffer(blake2b(identity.encode(), digest_size=16).digest(), np.uint64)

    def chunk(self, number: int) -> NDArray[np.float64]:
        """Return the numbers of CHUNK steps from `number` x CHUNK on; step 0 draws the first generated token."""
        # The counter's upper half names the chunk, so that chunks never overlap.
        philox = np.random.Philox(key=self._key, counter=np.array([0, 0, number, 0], np.uint64))
        return np.random.Generator(philox).random(CHUNK)

    def at(self, step: int) -> float:
        """Return the number of one step."""
        return float(self.chunk(step // CHUNK)[step % CHUNK])
