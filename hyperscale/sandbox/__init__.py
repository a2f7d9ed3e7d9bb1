"""Run untrusted programs."""

from hyperscale.sandbox.base import Sandbox
from hyperscale.sandbox.choose import SANDBOXES, Choice, check, open_sandbox
from hyperscale.sandbox.program import Ended, Limits, Program

__all__ = ["SANDBOXES", "Choice", "Ended", "Limits", "Program", "Sandbox", "check", "open_sandbox"]
