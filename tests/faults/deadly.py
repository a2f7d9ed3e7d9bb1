"""What a grading process does in these tests instead of comparing."""

from __future__ import annotations

import os
import time


def start() -> None:
    """In place of importing what is slow."""


def compare(gold: str, answer: str) -> bool:
    """Dies of one answer, hangs at another, and finds a third right."""
    if answer == "die":
        os._exit(3)
    if answer == "hang":
        time.sleep(600)
    return answer == "right"
