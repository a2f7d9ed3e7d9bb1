"""Which server, which of its models, and with which key."""

from __future__ import annotations

import pytest

from hyperscale.engines.openai.engine import OpenaiEngine
from tests.engines.openai.client import LONGEST, chains_of, config_for


def test_keys_are_sent_and_never_shown(server, text, monkeypatch):
    server.key = "sk-secret"
    with pytest.raises(ValueError, match="401, it wants a key: set OPENAI_API_KEY"):
        OpenaiEngine(config_for(server), text)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other")
    with pytest.raises(ValueError, match="401, the key in OPENAI_API_KEY is refused") as refused:
        OpenaiEngine(config_for(server), text)
    assert "sk-" not in str(refused.value)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret\n")
    engine = OpenaiEngine(config_for(server), text)
    chains_of(engine)
    assert {header["Authorization"] for header in server.headers} == {"Bearer sk-secret"}
    assert "sk-" not in repr(engine.identity())
    assert server.url not in repr(engine.identity())
    monkeypatch.setenv("OPENAI_API_KEY", "sk-\nsecret")
    with pytest.raises(ValueError, match="OPENAI_API_KEY has characters") as refused:
        OpenaiEngine.check(config_for(server))
    assert "secret" not in str(refused.value)


def test_which_model(server, text):
    assert OpenaiEngine(config_for(server), text).identity() == {
        "served_model": "served", "served_root": "weights", "resolved_dtype": "server", "gates": None,
    }  # fmt: skip
    with pytest.raises(ValueError, match="serves served, not other: choose with --served-model-name"):
        OpenaiEngine(config_for(server, served_model_name="other"), text)
    server.context = LONGEST - 1
    with pytest.raises(ValueError, match="L = 64 is beyond the 63 tokens of context of served"):
        OpenaiEngine(config_for(server), text)
    server.context = LONGEST
    OpenaiEngine(config_for(server), text)
    server.lists_models = False
    with pytest.raises(ValueError, match=r"404 Not Found\. --base-url mostly ends with /v1"):
        OpenaiEngine(config_for(server), text)
    OpenaiEngine(config_for(server, served_model_name="served"), text)
    with pytest.raises(ValueError, match="404 The model `other` does not exist"):
        OpenaiEngine(config_for(server, served_model_name="other"), text)
    with pytest.raises(ValueError, match="404 Not Found"):
        OpenaiEngine(config_for(server, base_url=server.url.removesuffix("/v1")), text)


def test_another_tokenizer_is_another_model(server, text):
    server.shift = 1
    with pytest.raises(ValueError, match="--model must name the model that is served"):
        OpenaiEngine(config_for(server), text)


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
    engine = OpenaiEngine(config_for(server, base_url="http://model.invalid:81/v1"), text)
    chains_of(engine)
    assert {header["Host"] for header in server.headers} == {"model.invalid:81"}
    assert {header["Proxy-Authorization"] for header in server.headers} == {"Basic dXNlcjp3b3Jk"}
