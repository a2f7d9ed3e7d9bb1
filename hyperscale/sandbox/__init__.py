"""Runs programs that nobody trusts."""

from hyperscale.sandbox.base import Ended, Limits, Program, Sandbox
from hyperscale.sandbox.choose import SANDBOXES, Choice, check, open_sandbox

__all__ = ["SANDBOXES", "Choice", "Ended", "Limits", "Program", "Sandbox", "check", "open_sandbox"]
