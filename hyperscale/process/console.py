"""Where progress is told: stderr, redrawn on a terminal, in plain lines elsewhere."""

LINE_SECONDS = 30.0
"""Between two lines of progress off a terminal."""
