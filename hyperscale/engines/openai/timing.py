"""Time limits and counts of the requests to a server."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self


@dataclass(frozen=True)
class Timing:
    """Seconds, unless said otherwise."""

    connect: float = 15.0
    """Until a connection is there, or a list of models."""
    queue: float = 6 * 3600.0
    """Without a byte until a stream begins, or until a whole answer ends: a queue and a long prompt come first. TCP
    keep-alive tells whether the server is still there."""
    silence: float = 600.0
    """Without a byte once a stream has begun."""
    outage: float = 300.0
    """Of failures, with no sign of life in between, until the server is given up."""
    attempts: int = 8
    """Failures of one request while the server is there: it may be this request that brings the server down."""
    first_wait: float = 0.5
    longest_wait: float = 30.0
    """Between two attempts, doubled each time; less a jitter of up to half."""
    warn: float = 5.0
    """Of failures until the user is warned."""
    probe_outage: float = 10.0
    probe_queue: float = 600.0
    """Limits before the first chain, while the user looks on; other requests may still be in the server's queue."""

    def of_probe(self) -> Self:
        """Limits of the requests before the first chain."""
        return replace(self, outage=self.probe_outage, queue=self.probe_queue)


DEFAULT = Timing()
