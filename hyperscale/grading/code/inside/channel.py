"""Lines to and from who started this process. The program under test finds /dev/null in their place."""

from __future__ import annotations

import os
from typing import BinaryIO, NamedTuple


class Channel(NamedTuple):
    """What were stdin and stdout."""

    source: BinaryIO
    sink: BinaryIO

    def receive(self) -> str | None:
        """The next line; None at the end."""
        line = self.source.readline()
        return line.decode() if line else None

    def send(self, line: str) -> None:
        """A line, which holds no line break."""
        self.sink.write(line.encode() + b"\n")
        self.sink.flush()

    def close(self) -> None:
        """Let go of it, in a fork that must not speak."""
        os.close(self.source.fileno())
        os.close(self.sink.fileno())


def open_channel() -> Channel:
    """Take stdin and stdout away from everybody else."""
    channel = Channel(os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb"))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)
    return channel
