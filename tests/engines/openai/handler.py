"""The HTTP of `openai_server.FakeServer`: models, completions as JSON and as events, and what can go wrong."""

from __future__ import annotations

import json
import socket
import time
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.engines.openai.server import FakeServer

CORE = {"model", "prompt", "max_tokens", "temperature", "top_p"}
PROBE_TOKENS = 12
"""What the engine asks for before the first chain; no chain of these tests may be as long."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_: FakeServer

    def setup(self) -> None:
        super().setup()
        with self.server_._lock:
            self.server_._sockets.add(self.connection)

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        fake = self.server_
        if self._at() != "/v1/models" or not fake.lists_models:
            return self._fail(404, "Not Found")
        if not self._keyed():
            return None
        card = {"id": fake.name, "object": "model", "owned_by": fake.owner, "root": "/somewhere/weights"}
        return self._json({"data": [card | ({"max_model_len": fake.context} if fake.context else {})]})

    def do_POST(self) -> None:
        fake = self.server_
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self._at() != "/v1/completions":
            return self._fail(404, "Not Found")
        if not self._keyed() or self._refused(body):
            return None
        if body["max_tokens"] == PROBE_TOKENS:
            return self._answer(body, None)
        with fake._lock:
            number = len(fake.bodies)
            fake.bodies.append(body)
            fake.headers.append(dict(self.headers))
            fake._flying += 1
            fake.most_at_once = max(fake.most_at_once, fake._flying)
        self._flies = True
        try:
            self._answer(body, fake.fault(number, body))
        except OSError:
            fake.dropped += 1
            raise
        finally:
            self._land()
        return None

    _flies = False

    def _land(self) -> None:
        """A request is over before its client knows: the next one may be on its way at once."""
        if self._flies:
            with self.server_._lock:
                self.server_._flying -= 1
        self._flies = False

    def _at(self) -> str:
        """The path; a proxy is asked with the whole address."""
        return "/" + self.path.split("://", 1)[1].split("/", 1)[1] if "://" in self.path else self.path

    def _keyed(self) -> bool:
        key = self.server_.key
        if key is None or self.headers.get("Authorization") == f"Bearer {key}":
            return True
        self._fail(401, f"Incorrect API key provided: {self.headers.get('Authorization')}")
        return False

    def _refused(self, body: dict[str, Any]) -> bool:
        fake = self.server_
        unknown = set() if fake.fields is None else body.keys() - CORE - set(fake.fields)
        if body["model"] != fake.name:
            self._fail(404, f"The model `{body['model']}` does not exist")
        elif unknown:
            self._fail(422, f"Extra inputs are not permitted: {sorted(unknown)}")
        elif isinstance(body["prompt"], list) and not fake.token_prompts:
            self._fail(400, "prompt must be a string")
        else:
            return False
        return True

    def _answer(self, body: dict[str, Any], fault: str | None) -> None:
        if fault is not None and fault[0].isdigit():
            status, _, words = fault.partition(" ")
            name = {"429": "Retry-After", "307": "Location"}.get(status)
            return self._fail(int(status), words or "scripted", {name: words} if name and words else {})
        if fault == "hang up":
            self.connection.shutdown(socket.SHUT_RDWR)
            return None
        if fault == "told":
            return self._json({"error": {"message": "engine died"}})
        if self.server_.raw is not None:
            return self._send_raw(*self.server_.raw)
        tokens = self.server_.says(body)
        if fault == "word":
            tokens = tokens[: len(tokens) // 2 + 1]
        reason = "stop" if tokens[-1] == self.server_.tokenizer.eos_token_id else "length"
        if body.get("stream"):
            self._stream(body, tokens, reason, fault)
        else:
            self._whole(body, tokens, reason, fault)
        return None

    def _choice(self, body: dict[str, Any], tokens: list[int], reason: str | None, fault: str | None) -> dict[str, Any]:
        fake = self.server_
        shown = [token + fake.shift for token in tokens]
        if not fake.shows_end and shown and shown[-1] == fake.tokenizer.eos_token_id:
            shown = shown[:-1]
        ids = {"token_ids": shown} if fake.gives_ids and body.get("return_token_ids") else {}
        choice = {"index": 0, "text": fake.text(tokens), "finish_reason": reason, "stop_reason": None, **ids}
        if reason and fault == "abort":
            choice["finish_reason"] = "abort"
        if reason and fault == "filter":
            choice["finish_reason"] = "content_filter"
        if reason and fault == "word":
            choice |= {"finish_reason": "stop", "stop_reason": "Question:"}
        if reason and fault == "short":
            choice["finish_reason"] = "length"
        return choice

    def _usage(self, body: dict[str, Any], tokens: list[int], fault: str | None) -> dict[str, int]:
        count = len(tokens) + (fault == "miscount")
        prompt = len(self.server_.prompt_of(body)) if self.server_.counts else 0
        return {"prompt_tokens": prompt, "completion_tokens": count}

    def _whole(self, body: dict[str, Any], tokens: list[int], reason: str, fault: str | None) -> None:
        time.sleep(self.server_.seconds_a_token * len(tokens))
        answer = {"choices": [self._choice(body, tokens, reason, fault)], "usage": self._usage(body, tokens, fault)}
        if fault == "truncate":
            return self._send(200, json.dumps(answer)[:-20].encode(), {})
        return self._json(answer)

    def _begin_stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _send_raw(self, data: bytes, apart: int) -> None:
        self._begin_stream()
        for at in range(0, len(data), apart):
            self._chunk(data[at : at + apart])
        self._chunk(b"")

    def _stream(self, body: dict[str, Any], tokens: list[int], reason: str, fault: str | None) -> None:
        self._begin_stream()
        self._chunk(b": a comment, as llama.cpp sends to keep connections open\n\n")
        if fault == "late":
            self._pause()
        step = 3
        for at in range(0, len(tokens), step):
            if self.server_.seconds_a_token:
                time.sleep(self.server_.seconds_a_token * step)
            last = at + step >= len(tokens)
            if fault == "drop" and (at or last):
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            if fault in ("error", "refusal", "error field", "refusal field") and (at or last):
                error = {"message": "engine died", "code": 500 if fault.startswith("error") else 400}
                if fault.endswith("field"):  # So llama.cpp did.
                    self._chunk(f"error: {json.dumps(error)}\n\n".encode())
                else:
                    self._event({"error": error})
                break
            more = {"error": None} if fault == "null" else {}
            choice = self._choice(body, tokens[at : at + step], reason if last else None, fault)
            self._event({"choices": [choice], **more})
            if fault == "stuck" and not at:
                self._pause()
        if body.get("stream_options", {}).get("include_usage"):
            self._event({"choices": [], "usage": self._usage(body, tokens, fault)})
        self._land()
        self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _pause(self) -> None:
        """Send no event for a while; with `pings`, keep-alive comments."""
        fake, end = self.server_, time.monotonic() + self.server_.late
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, fake.pings or left))
            if fake.pings:
                self._chunk(b": ping\n\n")

    def _event(self, event: dict[str, Any]) -> None:
        # Split in the middle of a line: an event need not come in one piece.
        data = f"data: {json.dumps(event)}\n\n".encode()
        self._chunk(data[:11])
        self._chunk(data[11:])

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), {})

    def _fail(self, status: int, words: str, headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps({"error": {"message": words, "code": status}}).encode(), headers or {})

    def _send(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self._land()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
