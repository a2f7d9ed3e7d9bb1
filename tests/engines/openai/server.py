"""A server that speaks OpenAI's completions, in this process: its model is a pure function, its faults are scripted."""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from typing import Any, Self

import numpy as np
from transformers import PreTrainedTokenizerBase

from tests.engines.openai.handler import Handler

LETTERS = "thea \nxyz0123456789"
"""What the model says is made of these; tokenized again, some of them merge."""


def model_tokens(prompt: Sequence[int], seed: int | None, eos: int, letters: Sequence[int]) -> list[int]:
    """What the model says, its end token included: 1 to 60 tokens."""
    digest = hashlib.sha256(json.dumps([list(prompt), seed]).encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    length = int(rng.integers(20, 60)) if rng.random() < 0.7 else int(rng.integers(0, 20))
    return [*(int(token) for token in rng.choice(letters, size=length)), eos]


@dataclass
class FakeServer:
    """Knobs of a server; set any of them at any time."""

    tokenizer: PreTrainedTokenizerBase
    name: str = "served"
    fields: Collection[str] | None = None
    """Fields that it takes beside the core; None: it ignores those that it does not know."""
    token_prompts: bool = True
    gives_ids: bool = True
    shows_end: bool = True
    """Whether the end token is among the ids."""
    honours_seeds: bool = True
    adds_bos: bool = False
    shift: int = 0
    """Added to every id of its answers: a server of another tokenizer."""
    keeps: int | None = None
    """Tokens of a prompt that it keeps, the last ones; None: all."""
    wraps: int = 0
    """Tokens that a template of its own puts before each prompt."""
    counts: bool = True
    """Whether it counts a prompt; else it says 0, as some do of one that is in their cache."""
    owner: str = "someone"
    key: str | None = None
    context: int | None = None
    lists_models: bool = True
    seconds_a_token: float = 0.0
    late: float = 0.0
    """Seconds that an answer stops for, at the faults "late" and "stuck"."""
    pings: float = 0.0
    """Seconds between the comments that keep such a connection open; 0: none."""
    raw: tuple[bytes, int] | None = None
    """Instead of an answer of its model: a stream, and how many bytes of it go into a chunk."""
    fault: Callable[[int, dict[str, Any]], str | None] = lambda number, body: None
    """Of the n-th request for a chain: what goes wrong."""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    """Requests for chains, in the order in which they came."""
    headers: list[dict[str, str]] = field(default_factory=list)
    dropped: int = 0
    """Requests whose client went away."""
    most_at_once: int = 0
    _flying: int = 0
    _draws: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _port: int = 0

    def start(self, secure: ssl.SSLContext | None = None) -> Self:
        """Listen, by https where `secure`; again at the same port after a `stop`."""
        fake: FakeServer = self

        class Bound(Handler):
            server_ = fake

        class Quiet(ThreadingHTTPServer):
            request_queue_size = 128
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass

        self._sockets: set[socket.socket] = set()
        self._http = Quiet(("127.0.0.1", self._port), Bound)
        if secure is not None:
            self._http.socket = secure.wrap_socket(self._http.socket, server_side=True)
        self._port = self._http.server_port
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """As if killed: no more connections, and those there are broken."""
        self._http.shutdown()
        self._http.server_close()
        with self._lock:
            for connection in self._sockets:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def prompt_of(self, body: dict[str, Any]) -> list[int]:
        prompt = body["prompt"]
        if not isinstance(prompt, list):
            bos = [int(self.tokenizer.bos_token_id)] if self.adds_bos else []
            prompt = [*bos, *self.tokenizer(prompt, add_special_tokens=False)["input_ids"]]
        return [3] * self.wraps + prompt[-(self.keeps or len(prompt)) :]

    def says(self, body: dict[str, Any]) -> list[int]:
        """Tokens of the answer to a request."""
        with self._lock:
            self._draws += 1
            seed = body.get("seed") if self.honours_seeds else self._draws
        whole = self.whole(self.prompt_of(body), seed, body["temperature"])
        return whole[: body["max_tokens"]]

    def whole(self, prompt: Sequence[int], seed: int | None, temperature: float = 1.0) -> list[int]:
        letters = [self.tokenizer(letter, add_special_tokens=False)["input_ids"][0] for letter in LETTERS]
        return model_tokens(prompt, seed if temperature else None, int(self.tokenizer.eos_token_id), letters)

    def text(self, tokens: Sequence[int]) -> str:
        end = self.tokenizer.eos_token_id
        return self.tokenizer.decode([token for token in tokens if token != end], skip_special_tokens=False)
