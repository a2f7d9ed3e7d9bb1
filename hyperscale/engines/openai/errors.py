"""Failed requests: whether the same request may succeed later, and what a refusal means for the user."""

from __future__ import annotations

import json
import os
import socket
import ssl
import time
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any, Self

import httpx

_LONGEST_WORDS = 300
_BUSY = (408, 409, 425, 429, 502, 503, 504)


class ServerError(Exception):
    """A request that the server refused (`status`), or that failed on the way.

    `retry_after`: seconds that the server asks to wait. `away`: whether nobody worked on the request, so that it cannot
    be to blame. `silence`: seconds without a byte that ended an accepted request; 0 where it failed otherwise.
    """

    def __init__(
        self, words: str, status: int | None = None, *,
        retry_after: float = 0.0, away: bool = False, silence: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(words if status is None else f"{status} {words}")
        self.words, self.status, self.retry_after, self.silence = words, status, retry_after, silence
        self.away = away or status in _BUSY

    @classmethod
    def of_response(cls, response: httpx.Response) -> Self:
        """Read a loaded response with a status of 300 or more."""
        place = response.headers.get("Location")
        words = f"redirects to {place}" if place and response.status_code < 400 else _message(response.content)
        return cls(words, response.status_code, retry_after=_seconds(response.headers.get("Retry-After", "")))

    @classmethod
    def of_event(cls, error: Any) -> Self:
        """Read an error that came after the status of a success."""
        code = error.get("code") if isinstance(error, dict) else None
        status = code if isinstance(code, int) and 400 <= code < 600 else 500
        return cls(_message(json.dumps({"error": error})), status)

    @classmethod
    def of_transport(cls, error: httpx.RequestError | TimeoutError, *, answered: bool, silence: float) -> Self:
        """Read a failure of the connection, before or after the server `answered` with a status.

        Without one the server is away: tunnels and load balancers accept connections for a server that is down.
        """
        unconnected = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError)
        timed_out = isinstance(error, httpx.TimeoutException | TimeoutError)
        reason = "nothing came in time" if timed_out else _reason(error)
        words = f"{'no connection' if unconnected else 'the connection broke'} ({reason})"
        return cls(words, away=not answered, silence=silence if answered and timed_out else 0.0)

    @property
    def transient(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status is None or self.status in _BUSY or self.status >= 500

    def explained(self, url: str, key: str | None) -> ValueError:
        """Tell the user what a permanent refusal means. At 401 and 403 the server's own words may hold the key."""
        words = str(self)
        if self.status in (401, 403):
            fault = "the key in OPENAI_API_KEY is refused" if key else "it wants a key: set OPENAI_API_KEY"
            words = f"{self.status}, {fault}"
        elif self.status is not None and 300 <= self.status < 400:
            words = f"the server {self.words}: give the place that it names as --base-url"
        elif self.status == 404:
            words += (
                ". --base-url mostly ends with /v1, and the server must offer /completions below it, not chat alone"
            )
        return ValueError(f"{url}: {words}")


def parse(data: bytes | str) -> Any:
    """Parse JSON. ServerError if it is none."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise ServerError(f"an answer that is no JSON: {_short(data)}") from None


def parse_event(data: bytes | str) -> dict[str, Any]:
    """Parse the JSON object of an event or a whole answer. ServerError if it is none, or an error."""
    found = parse(data)
    if not isinstance(found, dict):
        raise ServerError(f"an answer that is no JSON object: {_short(data)}")
    if found.get("error"):  # Some servers name it in every event, as null.
        raise ServerError.of_event(found["error"])
    return found


def _message(body: bytes | str) -> str:
    """Extract the message of an error's body, in one line."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return _short(body)
    for name in ("error", "message", "detail"):
        if isinstance(said, dict) and name in said:
            said = said[name]
    return _short(said if isinstance(said, str) else json.dumps(said))


def _short(data: bytes | str) -> str:
    words = " ".join((data if isinstance(data, str) else data.decode(errors="replace")).split())
    return f"{words[:_LONGEST_WORDS]}…" if len(words) > _LONGEST_WORDS else words or "(nothing)"


def _reason(error: BaseException) -> str:
    """Name the operating system's error beneath those of the HTTP libraries; else theirs."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError | socket.gaierror):  # Their numbers are their own.
            return str(cause.strerror)
        if isinstance(cause, OSError) and cause.errno is not None:
            return os.strerror(cause.errno)
        cause = cause.exceptions[0] if isinstance(cause, BaseExceptionGroup) else cause.__cause__ or cause.__context__
    return str(error) or type(error).__name__


def _seconds(retry_after: str) -> float:
    """Seconds of a Retry-After header, which holds a number or a date; else 0."""
    with suppress(ValueError):
        return max(0.0, float(retry_after))
    with suppress(ValueError):
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    return 0.0
