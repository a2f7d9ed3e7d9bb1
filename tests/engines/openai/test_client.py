"""The HTTP of `--engine openai` alone: what a request is told, which proxy it takes, what ends it."""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hyperscale.engines.openai.client import Client, Event
from hyperscale.engines.openai.errors import ServerError
from hyperscale.engines.openai.retry import Timing
from tests.engines.openai.handler import Handler
from tests.engines.openai.server import FakeServer

STREAM = {"model": "served", "prompt": [3], "max_tokens": 40, "temperature": 1.0, "stream": True}


def post(url: str, take: Callable[[Event], None] = lambda _: None, accepted: Callable[[], None] = lambda: None) -> None:
    async def posted() -> None:
        async with Client(url, None, Timing(queue=20, silence=20)) as client:
            await client.complete(STREAM, take, accepted)

    asyncio.run(posted())


def test_a_request_is_taken_when_its_status_comes(server):
    order: list[str] = []
    post(server.url, lambda _: order.append("event"), lambda: order.append("accepted"))
    assert order[:2] == ["accepted", "event"]
    assert order.count("accepted") == 1
    server.fault = lambda number, body: "503"
    with pytest.raises(ServerError, match="503"):
        post(server.url, accepted=lambda: order.append("refused"))
    assert "refused" not in order


def test_a_cancelled_request_is_ended_on_the_server(server):
    server.seconds_a_token = 0.05
    began = asyncio.Event()

    async def cancelled() -> None:
        async with Client(server.url, None, Timing()) as client:
            task = asyncio.create_task(client.complete(STREAM, lambda _: began.set()))
            await began.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(cancelled())
    until = time.monotonic() + 10
    while not server.dropped and time.monotonic() < until:
        time.sleep(0.02)
    assert server.dropped == 1


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("0.5", 0.5), ("-3", 0.0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("soon", 0.0), (None, 0.0)],
)
def test_retry_after(server, header, seconds):
    server.fault = lambda number, body: f"429 {header}" if header else "429"
    with pytest.raises(ServerError) as refused:
        post(server.url)
    assert refused.value.retry_after == seconds
    assert refused.value.transient


@pytest.mark.parametrize(
    "stream",
    [
        'data: {"n": 1}\n\ndata: {"n": 2}\n\ndata: [DONE]\n\n',
        'data:{"n": 1}\r\n\r\n: comment\r\n\r\nevent: chunk\r\nid: 5\r\ndata: {"n": 2}\r\n\r\ndata: [DONE]\r\n\r\n',
        'data: {"n":\ndata: 1}\n\n\n\ndata: {"n": 2}\n\n',
        'data: {"n": 1}\n\ndata: {"n": 2}\n\ndata: [DONE]\n\ndata: {"n": 3}\n\n',
    ],
)
@pytest.mark.parametrize("apart", [1, 1000])
def test_server_sent_events(server, stream, apart):
    assert events_of(server, stream, apart) == [{"n": 1}, {"n": 2}]


def test_what_unicode_calls_a_line_end_is_none(server):
    """A model may write them, and a server send them as they are."""
    text = "a\u2028b\u2029c\x85d"
    stream = f"data: {json.dumps({'text': text}, ensure_ascii=False)}\n\ndata: [DONE]\n\n"
    assert events_of(server, stream, 1) == [{"text": text}]


def events_of(server: FakeServer, stream: str, apart: int) -> list[Event]:
    """Events of a stream that comes so many bytes at a time."""
    server.raw = stream.encode(), apart
    found: list[Event] = []
    post(server.url, found.append)
    return found


def test_loopback_and_what_no_proxy_names_are_reached_without_a_proxy(server, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("all_proxy", "http://127.0.0.1:9")
    post(server.url)
    monkeypatch.setenv("no_proxy", "0.0.0.0")
    post(server.url.replace("127.0.0.1", "0.0.0.0"))
    monkeypatch.delenv("no_proxy")
    with pytest.raises(ServerError, match=r"no connection \(Connection refused\)"):
        post(server.url.replace("127.0.0.1", "0.0.0.0"))


@pytest.mark.parametrize("name", ["http_proxy", "all_proxy"])
def test_a_proxy_is_asked_with_the_whole_address(server, monkeypatch, name):
    monkeypatch.setenv(name, server.url.removeprefix("http://").removesuffix("/v1"))
    post("http://model.invalid:81/v1")
    assert [header["Host"] for header in server.headers] == ["model.invalid:81"]


@pytest.mark.parametrize("proxy", ["ftp://me:secret@h", "http://me:sec/ret@h", "socks5://me:secret@h:1"])
def test_a_proxy_that_cannot_be_used_is_told_without_its_login(monkeypatch, proxy):
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.setitem(sys.modules, "socksio", None)  # As where httpx[socks] is not installed.
    with pytest.raises(ValueError, match=r"the proxy for model\.invalid .* or name model\.invalid in no_proxy") as told:
        Client("http://model.invalid/v1", None, Timing())
    assert "sec" not in str(told.value)


def test_https_through_a_proxy_is_a_tunnel(server, monkeypatch):
    asked: list[tuple[str, str | None]] = []

    def do_CONNECT(handler: BaseHTTPRequestHandler) -> None:
        asked.append((handler.path, handler.headers["Proxy-Authorization"]))
        handler.send_error(403, "not there")

    monkeypatch.setattr(Handler, "do_CONNECT", do_CONNECT, raising=False)
    monkeypatch.setenv("https_proxy", server.url.removesuffix("/v1").replace("//", "//user:word@"))
    with pytest.raises(ServerError, match=r"no connection \(403 not there\)") as failed:
        post("https://model.invalid/v1")
    assert failed.value.away
    assert asked == [("model.invalid:443", "Basic dXNlcjp3b3Jk")]


def test_https_trusts_the_certificates_that_the_environment_names(server, monkeypatch, tmp_path):
    certificate, key = self_signed("localhost", tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.stop()
    server.start(context)
    url = server.url.replace("http://127.0.0.1", "https://localhost")
    with pytest.raises(ServerError, match=r"no connection \(.*certificate verify failed"):
        post(url)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    post(url)


def self_signed(name: str, folder: Path) -> tuple[Path, Path]:
    """Files of a certificate for a host, and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    named = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(named, named, key.public_key(), x509.random_serial_number(), now, now + timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(private)
    return folder / "cert.pem", folder / "key.pem"


def test_a_name_of_two_addresses_is_reached_at_the_one_that_answers(server):
    """`localhost` is ::1 too, where nobody listens."""
    post(server.url.replace("127.0.0.1", "localhost"))


def test_names_that_do_not_resolve():
    with pytest.raises(ServerError, match=r"no connection \(.*([Nn]ame|resol|address)") as failed:
        post("http://model.invalid/v1")
    assert failed.value.away
