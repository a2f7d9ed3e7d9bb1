"""Verdicts on chains, votes among them, and estimates from them."""

from hyperscale.grading.pass_at_k import pass_at_k
from hyperscale.grading.pool import GradingPool, gold_normal
from hyperscale.grading.verdict import GradeRequest, Verdict
from hyperscale.grading.vote import majority

__all__ = ["GradeRequest", "GradingPool", "Verdict", "gold_normal", "majority", "pass_at_k"]
