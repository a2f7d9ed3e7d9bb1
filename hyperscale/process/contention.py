"""Tell whether other work on this machine disturbed a stretch of this process's own."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TypedDict

import psutil

FOREIGN = 0.2
"""Least share of the machine's processor time that others took, for a warning ..."""
IDLE = 0.1
"""... while at most this share of it was idle: else there was room for all."""
LEAST_SECONDS = 2.0
"""Shorter stretches are not judged: the system counts its time in hundredths of a second."""


class Contention(TypedDict):
    """The machine during a stretch of work. Shares are of the processor time of all its cores."""

    seconds: float
    load_average_begin: float | None
    """Load average over the last minute."""
    load_average_end: float | None
    own_share: float
    """This process and its children, ended ones included."""
    foreign_share: float
    """All other processes, those of the system too."""
    idle_share: float


class Watch:
    """Watches from its making on."""

    def __init__(self) -> None:
        self._began, self._load = time.monotonic(), load_average()
        self._own, (self._busy, self._idle) = _own_seconds(), _machine_seconds()

    def look(self) -> Contention:
        """Return the machine's state since the watch began."""
        busy, idle = (now - then for now, then in zip(_machine_seconds(), (self._busy, self._idle), strict=True))
        whole = max(busy + idle, 1e-9)
        own = min(max(0.0, _own_seconds() - self._own), busy)
        return {
            "seconds": round(time.monotonic() - self._began, 3),
            "load_average_begin": self._load,
            "load_average_end": load_average(),
            "own_share": round(own / whole, 3),
            "foreign_share": round((busy - own) / whole, 3),
            "idle_share": round(idle / whole, 3),
        }


def is_disturbed(found: Contention) -> bool:
    """Tell whether other work took FOREIGN or more of a machine that had no more than IDLE left."""
    long_enough = found["seconds"] >= LEAST_SECONDS
    return long_enough and found["foreign_share"] >= FOREIGN and found["idle_share"] <= IDLE


def warning(name: str, found: Contention) -> str | None:
    """Say that other work disturbed `name`, if it did."""
    if not is_disturbed(found):
        return None
    return (
        f"warning: other work took {found['foreign_share']:.0%} of this machine's processors during {name}: its times "
        "as run are not its own (the latency table is measured apart)"
    )


def load_average() -> float | None:
    """Return the machine's load average over the last minute; None where the system has none."""
    with suppress(OSError, AttributeError):
        return round(os.getloadavg()[0], 2)
    return None


def clock_mhz(device: str) -> float | None:
    """Return the clock of the CPU, or of the GPU that torch names so, in MHz; None where it is not known."""
    if device.startswith("cuda"):
        import torch

        with suppress(Exception):  # It needs NVML, which need not be there, and has errors of its own.
            return float(torch.cuda.clock_rate(torch.device(device)))
        return None
    with suppress(OSError, NotImplementedError, AttributeError):
        return round(float(psutil.cpu_freq().current), 1)
    return None


def _machine_seconds() -> tuple[float, float]:
    """Return the busy and idle seconds of all cores together; time stolen by other virtual machines is busy."""
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    # Linux counts a guest's time in user's, too.
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    return sum(times) - idle - guests, idle


def _own_seconds() -> float:
    """Return the processor seconds of this process, its ended children and those that run."""
    process = psutil.Process()
    found = sum(process.cpu_times()[:4])
    for child in process.children(recursive=True):
        with suppress(psutil.Error):
            found += sum(child.cpu_times()[:4])
    return float(found)
