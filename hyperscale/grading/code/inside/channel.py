"""Exchange lines with the process outside. The program under test finds /dev/null in their place."""

from __future__ import annotations

import os
from typing import BinaryIO, NamedTuple


class Channel(NamedTuple):
    """The original stdin and stdout."""

    source: BinaryIO
    sink: BinaryIO

    def receive(self) -> str | None:
        """Read the next line; None at the end."""
        line = self.source.readline()
        return line.decode() if line else None

    def send(self, line: str) -> None:
        """Write a line, which must hold no line break."""
        self.sink.write(line.encode() + b"\n")
        self.sink.flush()

    def close(self) -> None:
        """Close it, in a fork that must not write."""
        os.close(self.source.fileno())
        os.close(self.sink.fileno())


def open_channel() -> Channel:
    """Take over stdin and stdout, and put /dev/null in their place."""
    channel = Channel(os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb"))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)
    return channel
