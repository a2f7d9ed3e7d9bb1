"""pass@k: the chance that one of k samples is correct (Chen et al. 2021, arXiv 2107.03374, equation 1)."""

from __future__ import annotations

from math import prod


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """Estimate pass@k, unbiased: 1 - C(samples - correct, k) / C(samples, k), where `correct` of `samples` passed.

    ValueError unless 0 <= correct <= samples and 1 <= k <= samples.
    """
    if not 0 <= correct <= samples:
        raise ValueError(f"pass@k: {correct} of {samples} samples cannot be correct")
    if not 1 <= k <= samples:
        raise ValueError(f"pass@{k} needs at least 1 and at most {samples} samples, the number generated")
    if samples - correct < k:
        return 1.0
    return 1.0 - prod(1.0 - k / n for n in range(samples - correct + 1, samples + 1))
