"""Grade chains, vote among their answers, and estimate accuracy from both."""

from hyperscale.grading.aggregate import Aggregate, majority, pass_at_k
from hyperscale.grading.base import NOTHING, Extraction, Grader, GradeRequest, GraderRef, Verdict
from hyperscale.grading.pool import GradingPool
from hyperscale.grading.registry import AGGREGATES, GRADERS, gold_normal, load_aggregate, load_grader

__all__ = [
    "AGGREGATES",
    "GRADERS",
    "NOTHING",
    "Aggregate",
    "Extraction",
    "GradeRequest",
    "Grader",
    "GraderRef",
    "GradingPool",
    "Verdict",
    "gold_normal",
    "load_aggregate",
    "load_grader",
    "majority",
    "pass_at_k",
]
