"""HTTP to a server that may be slow, busy or away: a connection a request, each of which can be cut from outside."""

from __future__ import annotations

import json
import socket
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from threading import Lock
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

Event = dict[str, Any]
"""One JSON object of an answer: a chunk of a stream, or all of it."""

CONNECT_SECONDS = 15.0
STREAM_SILENCE = 600.0
"""Seconds that a stream may stay silent once it has begun."""
WHOLE_SILENCE = 6 * 3600.0
"""Seconds until a stream begins, a queue and a long prompt being before it, or until an answer that comes whole. TCP
tells whether anyone is still there."""

_LONGEST_WORDS = 300
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_BUSY = {408, 409, 425, 429, 502, 503, 504}
_KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 8}


class ServerError(Exception):
    """A request that failed: refused by the server (`status`), or broken on the way."""

    def __init__(
        self, words: str, status: int | None = None, *,
        retry_after: float | None = None, away: bool = False, silence: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(words if status is None else f"{status} {words}")
        self.words = words
        self.status = status
        self.retry_after = retry_after
        """Seconds that the server asks to wait."""
        self.away = away or status in _BUSY
        """Whether nobody got to the request: none there, or busy with others. So it says nothing of the request."""
        self.silence = silence
        """Seconds in which nothing came of an answer that had been promised, and that was given up for that."""

    @property
    def transient(self) -> bool:
        """Whether the same request may do better later."""
        return self.status is None or self.status in _BUSY or self.status >= 500


class Server:
    """One server's base URL. Any thread may ask it; `close` ends all their requests at once."""

    def __init__(self, url: str, key: str | None = None, *, silence: float | None = None) -> None:
        """`silence` in seconds instead of WHOLE_SILENCE."""
        self._silence = silence
        self.url = url.rstrip("/")
        self._at = urlsplit(self.url)
        self._headers = {"Content-Type": "application/json", "Connection": "close", "User-Agent": "hyperscale"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        self._lock = Lock()
        self._sockets: set[socket.socket] = set()
        self._closed = False

    def get(self, path: str) -> Any:
        """JSON at a path below the base URL. ServerError if that fails."""
        with self._exchange("GET", path, None, CONNECT_SECONDS) as (response, _):
            return _parse(response.read())

    def post(
        self, path: str, body: Mapping[str, Any], take: Callable[[Event], None],
        accepted: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        """Send JSON; `take` gets every event of the answer as it comes in. ServerError if that fails.

        `accepted` is told when the server has promised an answer, which may be long before its first event.
        """
        silence = WHOLE_SILENCE if self._silence is None else self._silence
        with self._exchange("POST", path, json.dumps(body).encode(), silence) as (response, opened):
            accepted()
            if response.headers.get_content_type() == "text/event-stream":
                _take_stream(response, take, opened)
            else:
                take(_event(response.read()))

    def close(self) -> None:
        """Cut every connection; requests in other threads fail at once, and so do those that come later."""
        with self._lock:
            self._closed = True
            for open_socket in self._sockets:
                with suppress(OSError):
                    # Not that of an SSLSocket, which takes the object away that its reader is using.
                    socket.socket.shutdown(open_socket, socket.SHUT_RDWR)

    @contextmanager
    def _exchange(
        self, method: str, path: str, body: bytes | None, silence: float
    ) -> Iterator[tuple[HTTPResponse, socket.socket]]:
        connection, target, more = self._route(path)
        opened, answered = None, False
        try:
            connection.connect()
            opened = connection.sock
            self._admit(opened, silence)
            connection.request(method, target, body, {**self._headers, **more})
            with connection.getresponse() as response:
                answered = True
                if response.status >= 300:
                    raise _refusal(response)
                yield response, opened
        except (OSError, HTTPException) as error:
            # A tunnel or balancer takes a connection although nobody is behind it, and drops it unanswered.
            what = "no connection" if opened is None else "the connection broke"
            silence = (opened.gettimeout() or 0.0) if answered and opened and isinstance(error, TimeoutError) else 0.0
            raise ServerError(f"{what} ({_reason(error)})", away=not answered, silence=silence) from None
        finally:
            with self._lock:
                self._sockets -= {opened}
            connection.close()

    def _admit(self, opened: socket.socket, silence: float) -> None:
        """Take in a new connection, so that `close` can cut it."""
        with self._lock:
            if self._closed:
                raise ServerError("closed")
            self._sockets.add(opened)
        opened.settimeout(silence)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE.items():
            if hasattr(socket, name):  # Linux; other systems name them otherwise.
                opened.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def _route(self, path: str) -> tuple[HTTPConnection, str, dict[str, str]]:
        """Connection (through the proxy that the environment names, if any), request target, headers for a proxy."""
        at, host = self._at, self._at.hostname or ""
        target = f"{at.path}/{path}"
        proxy = None if host in _LOOPBACK or proxy_bypass(host) else getproxies().get(at.scheme)
        if at.scheme == "https":
            via = urlsplit(proxy) if proxy else at
            secure = HTTPSConnection(via.hostname or "", via.port, timeout=CONNECT_SECONDS)
            if proxy:
                secure.set_tunnel(host, at.port or 443, headers=_proxy_login(via))
            return secure, target, {}
        if proxy:
            via = urlsplit(proxy)
            plain = HTTPConnection(via.hostname or "", via.port, timeout=CONNECT_SECONDS)
            return plain, f"http://{at.netloc}{target}", _proxy_login(via)
        return HTTPConnection(host, at.port, timeout=CONNECT_SECONDS), target, {}


def _proxy_login(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    login = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {b64encode(login.encode()).decode()}"}


def _take_stream(response: HTTPResponse, take: Callable[[Event], None], opened: socket.socket) -> None:
    """Server-sent events, one JSON object a line, up to `[DONE]` or the end."""
    rest = b""
    while chunk := response.read1(1 << 16):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            name, _, data = line.strip().partition(b":")
            if name == b"data" and data.strip() == b"[DONE]":
                return
            if name == b"error":  # So llama.cpp once named it.
                raise _told(_object(data))
            if name == b"data":
                take(_event(data))
                opened.settimeout(STREAM_SILENCE)


def _event(data: bytes) -> Event:
    found = _object(data)
    if found.get("error"):  # Some servers name it in every event, as null.
        raise _told(found["error"])
    return found


def _told(error: Any) -> ServerError:
    """An error in an answer whose status, sent before, was that of a success."""
    code = error.get("code") if isinstance(error, dict) else None
    status = code if isinstance(code, int) and 400 <= code < 600 else 500
    return ServerError(_words(json.dumps({"error": error}).encode()), status)


def _object(data: bytes) -> Event:
    found = _parse(data)
    if not isinstance(found, dict):
        raise ServerError(f"an answer that is no JSON object: {_short(data)}")
    return found


def _parse(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise ServerError(f"an answer that is no JSON: {_short(data)}") from None


def _refusal(response: HTTPResponse) -> ServerError:
    place = response.getheader("Location")
    words = f"redirects to {place}" if place and response.status < 400 else _words(response.read(1 << 16))
    return ServerError(words, response.status, retry_after=_retry_after(response.getheader("Retry-After")))


def _words(body: bytes) -> str:
    """What the body of an error says, in one line."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return _short(body)
    for name in ("error", "message", "detail"):
        if isinstance(said, dict) and name in said:
            said = said[name]
    return _short((said if isinstance(said, str) else json.dumps(said)).encode())


def _short(data: bytes) -> str:
    words = " ".join(data.decode(errors="replace").split())
    return f"{words[:_LONGEST_WORDS]}…" if len(words) > _LONGEST_WORDS else words or "(nothing)"


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "nothing came in time"
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def _retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header, which is a number or a date."""
    if value is None:
        return None
    with suppress(ValueError):
        return max(0.0, float(value))
    with suppress(ValueError, TypeError):
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    return None
