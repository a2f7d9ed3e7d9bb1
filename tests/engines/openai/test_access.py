"""Which server, which of its models, and with which key."""

from __future__ import annotations

import pytest

from hyperscale.engines.openai.engine import OpenaiEngine
from tests.engines.openai.client import LONGEST, chains_of, config_for, engine_of


def test_keys_are_sent_and_never_shown(server, text, monkeypatch):
    server.key = "sk-secret"
    with pytest.raises(ValueError, match="401, it wants a key: set OPENAI_API_KEY"):
        engine_of(server, text)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other")
    with pytest.raises(ValueError, match="401, the key in OPENAI_API_KEY is refused") as refused:
        engine_of(server, text)
    assert "sk-" not in str(refused.value)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret\n")
    engine = engine_of(server, text)
    chains_of(engine)
    assert {header["Authorization"] for header in server.headers} == {"Bearer sk-secret"}
    assert "sk-" not in repr(engine.identity())
    assert server.url not in repr(engine.identity())
    monkeypatch.setenv("OPENAI_API_KEY", "sk-\nsecret")
    with pytest.raises(ValueError, match="OPENAI_API_KEY has characters") as refused:
        OpenaiEngine.check(config_for(server))
    assert "secret" not in str(refused.value)


def test_which_model(server, text):
    assert engine_of(server, text).identity() == {
        "served_model": "served", "served_root": "weights", "resolved_dtype": "server", "gates": None,
    }  # fmt: skip
    with pytest.raises(ValueError, match="serves served, not other: choose with --served-model-name"):
        engine_of(server, text, served_model_name="other")
    server.context = LONGEST - 1
    with pytest.raises(ValueError, match="L = 64 is beyond the 63 tokens of context of served"):
        engine_of(server, text)
    server.context = LONGEST
    engine_of(server, text)
    server.lists_models = False
    with pytest.raises(ValueError, match=r"404 Not Found\. --base-url mostly ends with /v1"):
        engine_of(server, text)
    engine_of(server, text, served_model_name="served")
    with pytest.raises(ValueError, match="404 The model `other` does not exist"):
        engine_of(server, text, served_model_name="other")
    with pytest.raises(ValueError, match="404 Not Found"):
        engine_of(server, text, base_url=server.url.removesuffix("/v1"))


def test_another_tokenizer_is_another_model(server, text):
    server.shift = 1
    with pytest.raises(ValueError, match="--model must name the model that is served"):
        engine_of(server, text)


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://h/v1", "http://", "http://h:x/v1", "http://h:99999/v1", "v1"])
def test_addresses_that_are_none(server, url):
    with pytest.raises(ValueError, match=r"^--base-url .*expected http:// or https://"):
        OpenaiEngine.check(config_for(server, base_url=url))


@pytest.mark.parametrize("url", ["http://me:secret@h/v1", "http://h/v1?api-key=secret", "https://h/v1#secret"])
def test_secrets_in_addresses(server, url):
    with pytest.raises(ValueError, match="a key goes into OPENAI_API_KEY") as refused:
        OpenaiEngine.check(config_for(server, base_url=url))
    assert "secret" not in str(refused.value)


def test_secrets_in_what_is_no_address(server):
    with pytest.raises(ValueError, match=r"^--base-url h/v1: expected http:// or https://") as refused:
        OpenaiEngine.check(config_for(server, base_url="me:secret@h/v1"))
    assert "secret" not in str(refused.value)


def test_through_a_proxy(server, text, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url.removesuffix("/v1").replace("//", "//user:word@"))
    engine = engine_of(server, text, base_url="http://model.invalid:81/v1")
    chains_of(engine)
    assert {header["Host"] for header in server.headers} == {"model.invalid:81"}
    assert {header["Proxy-Authorization"] for header in server.headers} == {"Basic dXNlcjp3b3Jk"}
