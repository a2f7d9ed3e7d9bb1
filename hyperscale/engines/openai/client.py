"""HTTP to a server that may be slow, busy or away, on httpx: a connection a request, so that a server sees it end."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.request import getproxies, proxy_bypass

import anyio
import httpx
from httpx_sse import EventSource

from hyperscale.engines.openai.errors import ServerError, parse, parse_event
from hyperscale.engines.openai.retry import Timing

Event = dict[str, Any]
"""One JSON object of an answer: a chunk of a stream, or all of it."""

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 8}
"""Seconds and probes, by Linux's names; where there are others the system's own apply."""


class Client(httpx.AsyncClient):
    """Requests to one base URL. Cancelling a task ends its request."""

    def __init__(self, url: str, key: str | None, timing: Timing) -> None:
        """ValueError where the environment names a proxy that cannot be used."""
        self.url, self._timing = url.rstrip("/"), timing
        headers = {"User-Agent": "hyperscale", "Accept-Encoding": "identity"}
        super().__init__(
            base_url=self.url,
            headers=headers | ({"Authorization": f"Bearer {key}"} if key else {}),
            transport=_transport(httpx.URL(self.url)),
            timeout=httpx.Timeout(None, connect=timing.connect),
        )

    async def models(self) -> Any:
        """Return the JSON of the server's list of models. ServerError if that fails."""
        async with self._exchange("GET", "models", self._timing.connect) as (response, _):
            return parse(await response.aread())

    async def complete(
        self, body: Mapping[str, Any], take: Callable[[Event], None], accepted: Callable[[], None] = lambda: None
    ) -> None:
        """Request a completion; call `take` with each event of the answer as it arrives. ServerError if that fails.

        `accepted` is called at a status of success, which may precede the first event by hours.
        """
        async with self._exchange("POST", "completions", self._timing.queue, json=body) as (response, stream):
            accepted()
            if not response.headers.get("Content-Type", "").startswith("text/event-stream"):
                take(parse_event(await response.aread()))
                return
            async for sse in EventSource(response).aiter_sse():
                if sse.data.strip() == "[DONE]":
                    return
                if sse.data:
                    event = parse_event(sse.data)
                    if sse.event == "error":
                        raise ServerError.of_event(event)
                    take(event)
                    stream.silence = self._timing.silence

    @asynccontextmanager
    async def _exchange(
        self, method: str, path: str, silence: float, **content: Any
    ) -> AsyncIterator[tuple[httpx.Response, _Stream]]:
        stream = None
        try:
            with anyio.fail_after(silence) as limit:
                async with self.stream(method, path, **content) as response:
                    response.stream = stream = _Stream(response, limit, silence)
                    if response.status_code >= 300:
                        await response.aread()
                        raise ServerError.of_response(response)
                    yield response, stream
        except (httpx.RequestError, TimeoutError) as error:
            waited = silence if stream is None else stream.silence
            raise ServerError.of_transport(error, answered=stream is not None, silence=waited) from None


class _Stream(httpx.AsyncByteStream):
    """The bytes of a response, at most `silence` seconds apart; keep-alive comments count."""

    def __init__(self, response: httpx.Response, limit: anyio.CancelScope, silence: float) -> None:
        assert isinstance(response.stream, httpx.AsyncByteStream)
        self._bytes, self._limit, self.silence = response.stream, limit, silence

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self._wait()
        async for chunk in self._bytes:
            # llama.cpp until 2025: a field of its own, which no parser of server-sent events knows.
            yield b"event: error\ndata:" + chunk[6:] if chunk.startswith(b"error:") else chunk
            self._wait()

    def _wait(self) -> None:
        self._limit.deadline = anyio.current_time() + self.silence

    async def aclose(self) -> None:
        await self._bytes.aclose()


def _transport(url: httpx.URL) -> httpx.AsyncHTTPTransport:
    """Connect directly or through the environment's proxy, with the system's certificates and TCP keep-alive.

    By its own reading of the environment httpx would send loopback through a proxy, trust certifi's certificates alone,
    and set no options on sockets to a proxy.
    """
    direct = url.host in _LOOPBACK or proxy_bypass(url.host)
    proxy = None if direct else getproxies().get(url.scheme) or getproxies().get("all")
    options = [
        (socket.IPPROTO_TCP, getattr(socket, name), n) for name, n in _KEEPALIVE.items() if hasattr(socket, name)
    ]
    try:
        return httpx.AsyncHTTPTransport(
            # Loading certificates takes a tenth of a second; a context without any trusts nobody.
            verify=ssl.create_default_context() if url.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            proxy=f"http://{proxy}" if proxy and "://" not in proxy else proxy,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            socket_options=[(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), *options],
        )
    except (ValueError, ImportError, httpx.InvalidURL):
        # Without the error's own words, which may hold a password.
        raise ValueError(
            f"the proxy for {url.host} that {url.scheme}_proxy or all_proxy names cannot be used: give it as "
            f"http://host:3128, or name {url.host} in no_proxy"
        ) from None
