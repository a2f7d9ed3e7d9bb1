"""Progress goes to stderr: redrawn on a terminal, in plain lines elsewhere."""

LINE_SECONDS = 30.0
"""Seconds between two plain lines of progress."""
