"""A grader whose process dies of one answer and hangs at another."""

from __future__ import annotations

import os
import time

from hyperscale.grading.math import Math


class Deadly(Math):
    """Reads answers as `math` does, without its slow imports."""

    name = "deadly"
    imports = ()

    def equal(self, gold: str, answer: str) -> bool:
        """Dies of one answer, hangs at another, and finds a third right."""
        if answer == "die":
            os._exit(3)
        if answer == "hang":
            time.sleep(600)
        return answer == "right"
