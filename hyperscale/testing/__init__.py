"""Contracts of what can be added to hyperscale, to be checked in the test-suite of who adds it."""

from hyperscale.testing.grader import check_grader

__all__ = ["check_grader"]
