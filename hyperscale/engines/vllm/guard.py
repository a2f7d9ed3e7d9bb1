"""Kill vLLM's processes after their parent was killed: otherwise they live on and hold a GPU's memory.

Run as a program beside its parent: `python guard.py PARENT`. It prints that it is ready, records processes that the
parent starts until its own input ends, and kills them once the parent is gone. It imports nothing of hyperscale.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time

import psutil

SECONDS = 0.5
"""Seconds between two looks."""


def descendants(process: psutil.Process) -> set[psutil.Process]:
    """Return a process's descendants; none where it has ended, even if its number was reused."""
    try:
        return set(process.children(recursive=True))
    except psutil.Error:
        return set()


def _guard(parent: int) -> None:
    try:
        above = psutil.Process(parent)
    except psutil.Error:
        return
    others, started, over = descendants(above), set[psutil.Process](), False
    print("ready", flush=True)
    while os.getppid() == parent:
        if over:
            time.sleep(SECONDS)
            continue
        over = bool(select.select([sys.stdin], [], [], SECONDS)[0])
        started |= descendants(above) - others
    started = started.union(*map(descendants, started))
    for process in started:
        with contextlib.suppress(psutil.Error):
            # multiprocessing's tracker ends by itself after it has removed leaked shared memory.
            if not any("resource_tracker" in word for word in process.cmdline()):
                process.kill()


if __name__ == "__main__":
    _guard(int(sys.argv[1]))
