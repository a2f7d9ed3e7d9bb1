"""Run untrusted programs."""

from hyperscale.sandbox.base import Description, Sandbox
from hyperscale.sandbox.choose import SANDBOXES, Choice, check, open_sandbox
from hyperscale.sandbox.program import Ended, Limits, Program

__all__ = ["SANDBOXES", "Choice", "Description", "Ended", "Limits", "Program", "Sandbox", "check", "open_sandbox"]
