"""Processes for tests that kill them: forked from one that has imported what they need, so that each starts at once."""

from __future__ import annotations

import multiprocessing

PROCESSES = multiprocessing.get_context("forkserver")
# There is one such process; the first test that needs it starts it for all.
PROCESSES.set_forkserver_preload(
    [
        "tests.results.test_kill",
        "tests.pretrain.test_train",
        "tests.sweep.test_kill_backends",
        "tests.retrofit.runs",
        "tests.faults.test_kill",
        "tests.results.test_url_kill",
    ]
)
