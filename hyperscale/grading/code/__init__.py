"""Grade programs in a sandbox."""

from hyperscale.grading.code.gold import Cases, Check, check_gold, parse_gold
from hyperscale.grading.code.grader import Code, CodeGrader, CodeGrading

__all__ = ["Cases", "Check", "Code", "CodeGrader", "CodeGrading", "check_gold", "parse_gold"]
