"""Whether this machine lets anybody make namespaces, asked of util-linux and not of our own code."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache

import pytest


@cache
def allowed() -> bool:
    """Whether `unshare` can leave the host's users, processes, network and mounts."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return False
    apart = ["--pid", "--net", "--mount", "--ipc", "--uts", "--fork"]
    apart += [] if os.geteuid() == 0 else ["--map-root-user"]
    tried = subprocess.run([unshare, "--user", *apart, "true"], capture_output=True, check=False)
    return tried.returncode == 0


needed = pytest.mark.skipif(
    not allowed(),
    reason="THIS MACHINE ALLOWS NO NAMESPACES: nothing of the sandbox and of the graders of code is tested",
)
"""Mark of tests that run programs in a sandbox. Where namespaces can be had, a sandbox that fails is a failure."""
