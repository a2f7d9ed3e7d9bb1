"""Ends what a killed process has started: vLLM's processes live on otherwise, and hold a GPU's memory.

Run as a program beside its parent: `python vllm_guard.py PARENT`. It says that it is ready, takes in what the parent
starts from then on until its input ends, and kills that once the parent is gone. It imports nothing of hyperscale.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time

import psutil

SECONDS = 0.5


def descendants(process: psutil.Process) -> set[psutil.Process]:
    """Processes that descend from one; none where it is gone, and another has its number."""
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
            # multiprocessing's tracker ends by itself, once it has removed what shared memory was left.
            if not any("resource_tracker" in word for word in process.cmdline()):
                process.kill()


if __name__ == "__main__":
    _guard(int(sys.argv[1]))
