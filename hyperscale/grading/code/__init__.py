"""Grades programs."""

from hyperscale.grading.code.gold import Cases, Check, check_gold, parse_gold
from hyperscale.grading.code.grader import CodeGrader, CodeGrading

__all__ = ["Cases", "Check", "CodeGrader", "CodeGrading", "check_gold", "parse_gold"]
